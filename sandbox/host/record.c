/* The bytes of a record (fields.h). */
#include <errno.h>
#include <string.h>

#include "sandbox/host/fields.h"
#include "sandbox/host/store.h"

/* The one list of fields, for both directions. */
static void
list(struct kh_cursor *c, void *value)
{
    struct kh_record *r = value;

    kh_field_bytes(c, r->id, sizeof(r->id));
    kh_field_bytes(c, r->name, sizeof(r->name));
    kh_field_bytes(c, r->image, sizeof(r->image));
    kh_field_bytes(c, r->image_id, sizeof(r->image_id));
    kh_field_u64(c, &r->limits.memory);
    kh_field_u32(c, &r->limits.cpu_milli);
    kh_field_u32(c, &r->limits.pids);
    kh_field_u64(c, &r->created);
    kh_field_u64(c, &r->started);
    kh_field_u32(c, &r->state);
    kh_field_u64(c, &r->limits.disk); /* 0 in records of earlier hosts: none */
    kh_field_u32(c, &r->ladder.freeze);
    kh_field_u32(c, &r->ladder.hibernate);
    kh_field_bytes(c, r->place, sizeof(r->place));
}

static const struct kh_fields kind = {
    .what = "record",
    .magic = "kernelhost-box\n",
    .version = 1,
    .size = KH_RECORD_SIZE,
    .list = list,
};

size_t
kh_record_encode(const struct kh_record *record, void *out, size_t size)
{
    struct kh_record copy = *record;

    if (size < KH_RECORD_SIZE)
        return 0;
    kh_fields_encode(&kind, &copy, out);
    return KH_RECORD_SIZE;
}

void
kh_record_place(const struct kh_record *record, char out[KH_ID_TEXT])
{
    static const uint8_t none[KH_ID_SIZE];

    kh_id_text(memcmp(record->place, none, sizeof(none)) ? record->place : record->id,
               out);
}

int
kh_record_decode(const void *data, size_t size, struct kh_record *ret_record,
                 struct kh_error *err)
{
    struct kh_record r = {0};
    int result = kh_fields_decode(&kind, data, size, &r, err);

    if (result < 0)
        return result;
    if (!kh_name_valid(r.name) || !kh_image_name_valid(r.image) ||
        !kh_id_text_valid(r.image_id))
        return kh_fail(err, EBADMSG, "record has an impossible name");
    if (r.state != KH_SANDBOX_RUNNING && r.state != KH_SANDBOX_HIBERNATED &&
        r.state != KH_SANDBOX_STOPPED)
        return kh_fail(err, EBADMSG, "record has the impossible state %u", r.state);
    *ret_record = r;
    return 0;
}
