#include "sandbox/host/fields.h"

#include <errno.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"

static uint32_t
crc32(const unsigned char *p, size_t size)
{
    uint32_t crc = ~0u;

    while (size--) {
        int bit;

        crc ^= *p++;
        for (bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

void
kh_field_bytes(struct kh_cursor *c, void *field, size_t size)
{
    if (c->write)
        memcpy(c->at, field, size);
    else
        memcpy(field, c->at, size);
    c->at += size;
}

void
kh_field_u64(struct kh_cursor *c, uint64_t *field)
{
    uint64_t value = 0;
    int i;

    for (i = 0; i < 8; i++) {
        if (c->write)
            c->at[i] = (unsigned char)(*field >> (8 * i));
        else
            value |= (uint64_t)c->at[i] << (8 * i);
    }
    if (!c->write)
        *field = value;
    c->at += 8;
}

void
kh_field_u32(struct kh_cursor *c, uint32_t *field)
{
    uint64_t wide = *field;

    kh_field_u64(c, &wide);
    *field = (uint32_t)wide;
}

void
kh_fields_encode(const struct kh_fields *kind, void *value, void *out)
{
    struct kh_cursor c = {.at = out, .write = true}, tail = c;
    uint32_t version = kind->version;
    char magic[sizeof(kind->magic)];
    uint64_t crc;

    memset(out, 0, kind->size);
    memcpy(magic, kind->magic, sizeof(magic));
    kh_field_bytes(&c, magic, sizeof(magic));
    kh_field_u32(&c, &version);
    kind->list(&c, value);
    crc = crc32(out, kind->size - 8);
    tail.at += kind->size - 8;
    kh_field_u64(&tail, &crc);
}

int
kh_fields_decode(const struct kh_fields *kind, const void *data, size_t size,
                 void *value, struct kh_error *err)
{
    AUTO_FREE unsigned char *copy = NULL;
    struct kh_cursor c = {0}, tail = {0};
    char magic[sizeof(kind->magic)] = "";
    uint32_t version = 0;
    uint64_t crc = 0;

    if (size != kind->size)
        return kh_fail(err, EBADMSG, "%s has %zu bytes instead of %zu", kind->what,
                       size, kind->size);
    copy = kh_xmemdup(data, size);
    c.at = copy;
    tail.at = copy + size - 8;
    kh_field_bytes(&c, magic, sizeof(magic));
    if (memcmp(magic, kind->magic, sizeof(magic)) != 0)
        return kh_fail(err, EBADMSG, "%s does not begin with its magic", kind->what);
    kh_field_u64(&tail, &crc);
    if (crc != crc32(copy, size - 8))
        return kh_fail(err, EBADMSG, "%s's checksum does not match", kind->what);
    kh_field_u32(&c, &version);
    if (version != kind->version)
        return kh_fail(err, EBADMSG, "%s has version %u, this host knows %u",
                       kind->what, version, kind->version);
    kind->list(&c, value);
    return 0;
}
