/* fields: files of one struct: a magic text, a version, the fields one after the
 * other (little-endian, texts in arrays of fixed size), zeros, CRC-32 at the end.
 *
 * A list of fields is written once, as a function of a cursor, for both directions.
 */
#ifndef KH_HOST_FIELDS_H
#define KH_HOST_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct kh_cursor {
    unsigned char *at;
    bool write;
};

void kh_field_bytes(struct kh_cursor *cursor, void *field, size_t size);
void kh_field_u64(struct kh_cursor *cursor, uint64_t *field);
void kh_field_u32(struct kh_cursor *cursor, uint32_t *field); /* 8 bytes, too */

struct kh_fields {
    const char *what; /* in errors */
    char magic[16];
    uint32_t version;
    size_t size; /* of the file */
    void (*list)(struct kh_cursor *cursor, void *value);
};

/* Writes all of KIND's size to OUT. */
void kh_fields_encode(const struct kh_fields *kind, void *value, void *out);

/* Checks everything but the fields' meaning. -EBADMSG with the reason. */
int kh_fields_decode(const struct kh_fields *kind, const void *data, size_t size,
                     void *value, struct kh_error *err);

#endif
