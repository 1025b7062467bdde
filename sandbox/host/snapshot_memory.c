/* What a snapshot has of its sandbox's memory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/snapshot_own.h"

int
kh_snapshot_open_dir(const struct kh_snapshot *snapshot, struct kh_error *err)
{
    int fd = openat(snapshot->host->store.snapshots, snapshot->id,
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? kh_fail_errno(err, "cannot open snapshot '%s'", snapshot->id) : fd;
}

bool
kh_snapshot_has_memory(const struct kh_box *box)
{
    return box->phase == KH_BOX_HIBERNATED ||
           (box->phase == KH_BOX_RUNNING && box->kept);
}

/* The files are shared with those of the sandbox; both only read them. */
int
kh_snapshot_copy_memory(struct kh_snapshot *snapshot, struct kh_error *err)
{
    const struct kh_box *box = kh_boxes_find_id(&snapshot->host->boxes, snapshot->box);
    AUTO_FD int dir = kh_snapshot_open_dir(snapshot, err);
    AUTO_FD int memory = -1;
    int r;

    if (dir < 0)
        return dir;
    if (!box || !kh_snapshot_has_memory(box))
        return kh_fail(err, EBUSY, "it woke meanwhile (hint: try again)");
    memcpy(snapshot->kit, box->birth.kit, sizeof(snapshot->kit));
    r = kh_memory_copy(&snapshot->host->store, box->place, dir, KH_SNAPSHOT_MEMORY_DIR,
                       err);
    if (r < 0)
        return r;
    memory = openat(dir, KH_SNAPSHOT_MEMORY_DIR,
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    snapshot->saved = memory < 0 ? 0 : kh_memory_bytes(memory);
    return 0;
}

int
kh_snapshot_note_kernels(struct kh_snapshot *snapshot, struct kh_error *err)
{
    AUTO_FD int dir = kh_snapshot_open_dir(snapshot, err);

    return dir < 0
               ? dir
               : kh_fd_replace_file(dir, KH_SNAPSHOT_KERNELS, snapshot->kernels,
                                    (size_t)KH_BROKER_KERNELS * KH_ID_SIZE, 0600, err);
}

void
kh_snapshot_kernels(const struct kh_snapshot *snapshot,
                    uint8_t ret_kernels[KH_BROKER_KERNELS][KH_ID_SIZE])
{
    const size_t want = (size_t)KH_BROKER_KERNELS * KH_ID_SIZE;
    AUTO_FD int dir = kh_snapshot_open_dir(snapshot, NULL);
    AUTO_FREE char *data = NULL;
    size_t size = 0;

    memset(ret_kernels, 0, want);
    if (dir >= 0 &&
        kh_fd_read_file(dir, KH_SNAPSHOT_KERNELS, want, &data, &size, NULL) == 0 &&
        size == want)
        memcpy(ret_kernels, data, want);
}

int
kh_snapshot_open_memory(const struct kh_snapshot *snapshot, struct kh_birth *ret_birth,
                        struct kh_error *err)
{
    AUTO_FD int dir = kh_snapshot_open_dir(snapshot, err);
    AUTO_FD int memory = -1;
    int r;

    if (dir < 0)
        return dir;
    memory = openat(dir, KH_SNAPSHOT_MEMORY_DIR,
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (memory < 0)
        return kh_fail_errno(err, "cannot open the memory of snapshot '%s'",
                             snapshot->record.name);
    r = kh_memory_birth(memory, ret_birth, err);
    return r < 0 ? r : STEAL_FD(memory);
}
