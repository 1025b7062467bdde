/* The bytes of a snapshot's record (fields.h), and the file they are in. */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/fields.h"
#include "sandbox/host/snapshot.h"

/* The one list of fields, for both directions. */
static void
list(struct kh_cursor *c, void *value)
{
    struct kh_snapshot_record *r = value;

    kh_field_bytes(c, r->id, sizeof(r->id));
    kh_field_bytes(c, r->name, sizeof(r->name));
    kh_field_bytes(c, r->sandbox, sizeof(r->sandbox));
    kh_field_bytes(c, r->image, sizeof(r->image));
    kh_field_bytes(c, r->image_id, sizeof(r->image_id));
    kh_field_u64(c, &r->limits.memory);
    kh_field_u32(c, &r->limits.cpu_milli);
    kh_field_u32(c, &r->limits.pids);
    kh_field_u64(c, &r->limits.disk);
    kh_field_u64(c, &r->created);
    kh_field_u64(c, &r->expires);
    kh_field_u64(c, &r->held);
    kh_field_u32(c, &r->flags);
    kh_field_bytes(c, r->box, sizeof(r->box)); /* 0 in those of earlier hosts */
    kh_field_bytes(c, r->label, sizeof(r->label));
}

static const struct kh_fields kind = {
    .what = "snapshot record",
    .magic = "kernelhost-snp\n",
    .version = 1,
    .size = KH_SNAPSHOT_RECORD_SIZE,
    .list = list,
};

size_t
kh_snapshot_encode(const struct kh_snapshot_record *record, void *out, size_t size)
{
    struct kh_snapshot_record copy = *record;

    if (size < KH_SNAPSHOT_RECORD_SIZE)
        return 0;
    kh_fields_encode(&kind, &copy, out);
    return KH_SNAPSHOT_RECORD_SIZE;
}

int
kh_snapshot_decode(const void *data, size_t size, struct kh_snapshot_record *ret_record,
                   struct kh_error *err)
{
    struct kh_snapshot_record r = {0};
    int result = kh_fields_decode(&kind, data, size, &r, err);

    if (result < 0)
        return result;
    if (!kh_name_valid(r.name) || !kh_name_valid(r.sandbox) ||
        !kh_image_name_valid(r.image) || !kh_id_text_valid(r.image_id))
        return kh_fail(err, EBADMSG, "snapshot record has an impossible name");
    if (!memchr(r.label, 0, sizeof(r.label)))
        return kh_fail(err, EBADMSG, "snapshot record has an endless label");
    /* A temporary one has no record. */
    if (r.flags & ~KH_SNAPSHOT_MEMORY)
        return kh_fail(err, EBADMSG, "snapshot record has the impossible flags %u",
                       r.flags);
    *ret_record = r;
    return 0;
}

int
kh_snapshot_read(int snapshots, const char *directory, const char *id,
                 struct kh_snapshot_record *ret_record, struct kh_error *err)
{
    AUTO_FREE char *path = kh_xasprintf("%s/record", directory);
    AUTO_FREE char *data = NULL;
    struct kh_snapshot_record record = {.expires = 0};
    char own[KH_ID_TEXT];
    size_t size = 0;
    int r =
        kh_fd_read_file(snapshots, path, KH_SNAPSHOT_RECORD_SIZE, &data, &size, err);

    if (r == 0)
        r = kh_snapshot_decode(data, size, &record, err);
    if (r < 0)
        return r;
    kh_id_text(record.id, own);
    if (id && strcmp(own, id) != 0)
        return kh_fail(err, EBADMSG, "record belongs to another snapshot, '%s'", own);
    *ret_record = record;
    return 0;
}
