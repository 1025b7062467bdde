/* The bytes of a record: magic, version, the fields one after the other
 * (little-endian, texts in arrays of fixed size), zeros, CRC-32 at the end. */
#include <errno.h>
#include <string.h>

#include "sandbox/host/store.h"

#define RECORD_MAGIC   "kernelhost-box\n"
#define RECORD_VERSION 1u

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

struct cursor {
    unsigned char *at;
    bool write;
};

static void
bytes(struct cursor *c, void *field, size_t size)
{
    if (c->write)
        memcpy(c->at, field, size);
    else
        memcpy(field, c->at, size);
    c->at += size;
}

static void
u64(struct cursor *c, uint64_t *field)
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

static void
u32(struct cursor *c, uint32_t *field)
{
    uint64_t wide = *field;

    u64(c, &wide);
    *field = (uint32_t)wide;
}

/* The one list of fields, for both directions. */
static void
fields(struct cursor *c, struct kh_record *r)
{
    bytes(c, r->id, sizeof(r->id));
    bytes(c, r->name, sizeof(r->name));
    bytes(c, r->image, sizeof(r->image));
    bytes(c, r->image_id, sizeof(r->image_id));
    u64(c, &r->limits.memory);
    u32(c, &r->limits.cpu_milli);
    u32(c, &r->limits.pids);
    u64(c, &r->created);
    u64(c, &r->started);
    u32(c, &r->state);
}

size_t
kh_record_encode(const struct kh_record *record, void *out, size_t size)
{
    struct kh_record copy = *record;
    struct cursor c = {.at = out, .write = true};
    struct cursor tail;
    uint32_t version = RECORD_VERSION;
    uint64_t crc;

    if (size < KH_RECORD_SIZE)
        return 0;
    memset(out, 0, KH_RECORD_SIZE);
    bytes(&c, (char[]){RECORD_MAGIC}, sizeof(RECORD_MAGIC));
    u32(&c, &version);
    fields(&c, &copy);
    crc = crc32(out, KH_RECORD_SIZE - 8);
    tail = (struct cursor){(unsigned char *)out + KH_RECORD_SIZE - 8, true};
    u64(&tail, &crc);
    return KH_RECORD_SIZE;
}

static bool
terminated(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

static bool
is_hex(const char *text)
{
    return strspn(text, "0123456789abcdef") == KH_ID_TEXT - 1;
}

int
kh_record_decode(const void *data, size_t size, struct kh_record *ret_record,
                 struct kh_error *err)
{
    struct kh_record r = {0};
    unsigned char copy[KH_RECORD_SIZE];
    struct cursor c = {.at = copy}, tail = {.at = copy + KH_RECORD_SIZE - 8};
    char magic[sizeof(RECORD_MAGIC)];
    uint32_t version = 0;
    uint64_t crc = 0;

    if (size != KH_RECORD_SIZE)
        return kh_fail(err, EBADMSG, "record has %zu bytes instead of %d", size,
                       KH_RECORD_SIZE);
    memcpy(copy, data, size);
    bytes(&c, magic, sizeof(magic));
    if (memcmp(magic, RECORD_MAGIC, sizeof(magic)) != 0)
        return kh_fail(err, EBADMSG, "record does not begin with its magic");
    u64(&tail, &crc);
    if (crc != crc32(copy, KH_RECORD_SIZE - 8))
        return kh_fail(err, EBADMSG, "record's checksum does not match");
    u32(&c, &version);
    if (version != RECORD_VERSION)
        return kh_fail(err, EBADMSG, "record has version %u, this host knows %u",
                       version, RECORD_VERSION);
    fields(&c, &r);
    if (!kh_name_valid(r.name) || !kh_image_name_valid(r.image) ||
        !terminated(r.image_id, sizeof(r.image_id)) || !is_hex(r.image_id))
        return kh_fail(err, EBADMSG, "record has an impossible name");
    if (r.state != KH_SANDBOX_RUNNING && r.state != KH_SANDBOX_STOPPED)
        return kh_fail(err, EBADMSG, "record has the impossible state %u", r.state);
    *ret_record = r;
    return 0;
}
