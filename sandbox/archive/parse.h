/* parse: from the bytes of an archive to calls that say what is in it. Pure: no file is
 * touched here. Runs in the confined child; every field is checked as if the envelope
 * could not be trusted.
 */
#ifndef KH_ARCHIVE_PARSE_H
#define KH_ARCHIVE_PARSE_H

#include "base/error.h"
#include "sandbox/archive/format.h"

/* Each returns 0 or -errno, which ends the parsing. What is passed is valid during the
 * call, the entry of a file until it is left. */
struct kh_archive_sink {
    int (*entry)(void *arg, const struct kh_archive_entry *entry, struct kh_error *err);
    /* Bytes of the file that came last, at OFFSET; within its size, in rising order. */
    int (*data)(void *arg, uint64_t offset, const uint8_t *data, size_t size,
                struct kh_error *err);
    /* The file, or the directory that is open, is complete. */
    int (*leave)(void *arg, struct kh_error *err);
    void *arg;
};

/* Reads all that MORE gives (1: some bytes, 0: no more, or -errno) and tells SINK.
 * -EBADMSG with the reason. */
int kh_archive_parse(int (*more)(void *arg, const void **ret_data, size_t *ret_size,
                                 struct kh_error *err),
                     void *arg, const struct kh_archive_sink *sink,
                     struct kh_error *err);

/* Only the info, which is in the first bytes of an archive: DATA must hold all of it.
 */
int kh_archive_parse_info(const void *data, size_t size,
                          struct kh_archive_info *ret_info, struct kh_error *err);

#endif
