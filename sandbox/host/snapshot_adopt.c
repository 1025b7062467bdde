/* Snapshots that come from archives: kernelhost-snapshot has unpacked them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/image.h"
#include "sandbox/host/snapshot.h"
#include "sandbox/host/sys.h"

static int
read_record(const struct kh_store *store, const char *id,
            struct kh_snapshot_record *ret_record, struct kh_error *err)
{
    AUTO_FREE char *directory = kh_xasprintf(KH_SNAPSHOT_IMPORT "%s", id);
    int r;

    if (!kh_id_text_valid(id))
        return kh_fail(err, EINVAL, "that is no id of an import");
    r = kh_snapshot_read(store->snapshots, directory, id, ret_record, err);
    return r == -ENOENT ? kh_fail(err, ENOENT,
                                  "there is nothing to import (hint: kernelhost "
                                  "snapshot import)")
                        : r;
}

/* What an archive says of limits, flags and the sandbox's id is nobody's here. */
static int
take_over(const struct kh_host *host, const char *id, struct kh_snapshot_record *record,
          struct kh_error *err)
{
    char image[KH_ID_TEXT + 8];
    int r;

    record->limits = (struct kh_limits){.memory = 0};
    record->flags = 0;
    memset(record->box, 0, sizeof(record->box));
    snprintf(image, sizeof(image), "id/%s", record->image_id);
    if (faccessat(host->store.images, image, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return kh_fail_errno(err, "there is no image '%s' any more", record->image);
    r = host->store.disk ? kh_disk_keep(host->store.disk, id, err)
                         : kh_fail(err, ENOTSUP, "this host has no disk");
    return r < 0 ? r : kh_disk_used(host->store.disk, id, &record->held, err);
}

/* The record is written where it is, and then both get the name that counts. */
static int
publish(const struct kh_store *store, const char *id,
        const struct kh_snapshot_record *record, struct kh_error *err)
{
    AUTO_FREE char *from = kh_xasprintf(KH_SNAPSHOT_IMPORT "%s", id);
    AUTO_FD int dir = kh_sys_open_in(store->snapshots, from, O_RDONLY | O_DIRECTORY);
    char data[KH_SNAPSHOT_RECORD_SIZE];
    int r;

    if (dir < 0)
        return kh_fail_errno(err, "cannot open '%s'", from);
    kh_snapshot_encode(record, data, sizeof(data));
    r = kh_fd_replace_file(dir, "record", data, sizeof(data), 0600, err);
    if (r == 0 && (renameat(store->snapshots, from, store->snapshots, id) < 0 ||
                   fsync(store->snapshots) < 0))
        r = kh_fail_errno(err, "cannot make a snapshot of '%s'", from);
    return r;
}

int
kh_snapshot_adopt(struct kh_host *host, const char *id, uint64_t expires,
                  struct kh_snapshot **ret_snapshot, struct kh_error *err)
{
    struct kh_snapshot_record record;
    int r = read_record(&host->store, id, &record, err);

    if (r == 0)
        r = kh_snapshot_check_name(host, record.name, false, err);
    if (r == 0 && expires && expires <= (uint64_t)time(NULL))
        r = kh_fail(err, EINVAL, "a snapshot cannot expire before it is there");
    if (r == 0)
        r = kh_image_hold(&host->store, err);
    if (r < 0)
        return r;
    record.expires = expires;
    r = take_over(host, id, &record, err);
    if (r == 0)
        r = publish(&host->store, id, &record, err);
    kh_image_let_go(&host->store);
    if (r < 0)
        return r;
    *ret_snapshot = kh_snapshot_new(host, &record);
    kh_snapshots_set_clock(&host->snapshots);
    kh_log(KH_LOG_INFO, "snapshot imported name=%s id=%s", record.name, id);
    return 0;
}
