#include "sandbox/host/snapshot_own.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/hibernate.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/trash.h"

/* ---- the sandbox stands still ---- */

/* Should kernelhostd end meanwhile, the next one lets it go on (snapshot_load.c). Who
 * is asleep anyway is left so. */
static int
note_freeze(const struct kh_snapshot *snapshot, struct kh_error *err)
{
    AUTO_FREE char *path =
        kh_xasprintf("%s/" KH_SNAPSHOT_FROZE "%s", snapshot->id, snapshot->box);
    AUTO_FD int fd = openat(snapshot->host->store.snapshots, path,
                            O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return fd < 0 ? kh_fail_errno(err, "cannot write '%s'", path) : 0;
}

/* The first of several snapshots freezes it, and the last lets it go on. */
static int
hold_still(struct kh_box *box, const struct kh_snapshot *snapshot, struct kh_error *err)
{
    int r = 0;

    if (box->phase == KH_BOX_RUNNING && !box->frozen) {
        r = note_freeze(snapshot, err);
        if (r == 0)
            r = kh_cgroup_freeze(box->host->groups, box->id, true, err);
    }
    if (r < 0)
        return kh_fail_in(err, "cannot freeze sandbox '%s'", box->record.name);
    box->still++;
    return 0;
}

/* It may have been stopped meanwhile, or put to sleep, or removed. */
static void
let_go(const struct kh_snapshot *snapshot)
{
    struct kh_host *host = snapshot->host;
    struct kh_box *box = kh_boxes_find_id(&host->boxes, snapshot->box);
    AUTO_FREE char *path =
        kh_xasprintf("%s/" KH_SNAPSHOT_FROZE "%s", snapshot->id, snapshot->box);
    struct kh_error err = {0};

    if (box && --box->still == 0 && box->phase == KH_BOX_RUNNING && !box->frozen &&
        kh_cgroup_freeze(host->groups, box->id, false, &err) < 0)
        kh_log(KH_LOG_ERROR, "cannot thaw name=%s: %s", box->record.name, err.text);
    if (box && !box->still && !box->frozen)
        kh_box_forget_kept(box);
    (void)unlinkat(host->store.snapshots, path, 0);
}

/* ---- its directory and record ---- */

static int
write_record(const struct kh_snapshot *snapshot, struct kh_error *err)
{
    char data[KH_SNAPSHOT_RECORD_SIZE];
    AUTO_FD int dir = kh_snapshot_open_dir(snapshot, err);

    if (dir < 0)
        return dir;
    kh_snapshot_encode(&snapshot->record, data, sizeof(data));
    return kh_fd_replace_file(dir, "record", data, sizeof(data), 0600, err);
}

/* Its directory goes by the trash when there is memory in it, which is much; its disk
 * takes no time. What fails is tried again at the next start. */
static void
discard(const struct kh_snapshot *snapshot)
{
    struct kh_store *store = &snapshot->host->store;
    struct kh_error err = {0};
    int r = 0;

    if (store->disk && kh_disk_drop(store->disk, snapshot->id, &err) < 0)
        kh_log(KH_LOG_WARN, "%s", err.text);
    if (unlinkat(store->snapshots, snapshot->id, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return;
    if (renameat(store->snapshots, snapshot->id, store->trash, snapshot->id) == 0)
        r = kh_trash_delete(store, snapshot->id, NULL, NULL, NULL, &err);
    else
        r = kh_fail_errno(&err, "cannot move snapshot '%s' to the trash", snapshot->id);
    if (r < 0)
        kh_log(KH_LOG_WARN, "%s", err.text);
}

/* ---- taking ---- */

int
kh_snapshot_check_name(struct kh_host *host, const char *name, bool temporary,
                       struct kh_error *err)
{
    if (!kh_snapshot_name_valid(name, temporary))
        return kh_fail(err, EINVAL, "a snapshot name has " KH_NAME_RULE);
    if (kh_snapshots_find(&host->snapshots, name))
        return kh_fail(err, EEXIST,
                       "there is already a snapshot '%s' (hint: another name, or "
                       "kernelhost snapshot rm %s)",
                       name, name);
    if (host->snapshots.count >= host->snapshots.max)
        return kh_fail(
            err, EUSERS,
            "this host has %zu snapshots, and keeps no more (hint: kernelhost "
            "snapshot rm)",
            host->snapshots.count);
    return 0;
}

static int
check_box(const struct kh_box *box, struct kh_error *err)
{
    struct kh_host *host = box->host;
    AUTO_FD int disk = -1;

    if (!host->store.disk)
        return kh_fail(err, ENOTSUP,
                       "this host has no disk that snapshots can be taken of (hint: "
                       "kernelhost doctor tells what is missing)");
    if (box->phase != KH_BOX_RUNNING && box->phase != KH_BOX_STOPPED &&
        box->phase != KH_BOX_SAVING && box->phase != KH_BOX_HIBERNATED)
        return kh_fail(err, EBUSY, "sandbox '%s' is on its way (hint: try again)",
                       box->record.name);
    disk = kh_disk_get(host->store.disk, box->place, NULL);
    if (disk == -ENOENT)
        return kh_fail(err, ENOTSUP,
                       "the files of sandbox '%s' are older than this host's disk for "
                       "all, so no snapshot of them can be taken (hint: copy them into "
                       "a new sandbox)",
                       box->record.name);
    return 0;
}

static int
check(const struct kh_box *box, const struct kh_snapshot_record *record,
      struct kh_error *err)
{
    int r = kh_snapshot_check_name(box->host, record->name,
                                   record->flags & KH_SNAPSHOT_TEMPORARY, err);

    if (r < 0)
        return r;
    if (record->flags & KH_SNAPSHOT_MEMORY && !kh_snapshot_has_memory(box))
        return kh_fail(err, EBUSY,
                       "the memory of sandbox '%s' is not saved (hint: a snapshot of a "
                       "stopped sandbox has none)",
                       box->record.name);
    if (record->flags & ~(KH_SNAPSHOT_TEMPORARY | KH_SNAPSHOT_MEMORY))
        return kh_fail(err, EINVAL, "a snapshot has no flags %u", record->flags);
    if (record->expires && record->expires <= (uint64_t)time(NULL))
        return kh_fail(err, EINVAL, "a snapshot cannot expire before it is taken");
    return check_box(box, err);
}

/* Held by the child until it ends: the next kernelhostd, should this one die, waits for
 * that before it looks for what is left over. */
static int
hold_lock(const struct kh_store *store)
{
    int lock = openat(store->snapshots, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return lock < 0 || flock(lock, LOCK_SH) < 0 ? -errno : 0;
}

/* In the child. Its exit status is the errno of what failed. */
static int
copy_disk(const struct kh_snapshot *snapshot, bool frozen)
{
    const struct kh_host *host = snapshot->host;
    int r = hold_lock(&host->store);

    if (r == 0)
        r = kh_fault("snapshot-copying", NULL);
    if (r == 0 && frozen)
        r = kh_cgroup_await_frozen(host->groups, snapshot->box, KH_SNAPSHOT_FREEZE_MS,
                                   NULL);
    return r < 0 ? r
                 : kh_disk_copy(host->store.disk, snapshot->place, snapshot->id, true,
                                NULL);
}

static int
explain(int status, struct kh_error *err)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;

    if (code == ETIMEDOUT)
        return kh_fail(err, code,
                       "its processes did not stand still in %d s (hint: one of them "
                       "waits for a disk; try again)",
                       KH_SNAPSHOT_FREEZE_MS / 1000);
    if (code == ENOSPC || code == EDQUOT)
        return kh_fail(err, ENOSPC,
                       "the disk of the sandboxes is full (hint: remove snapshots or "
                       "sandboxes)");
    return kh_fail(err, code, "%s", strerror(code));
}

/* The snapshot exists from here on, or never did. */
static int
conclude(struct kh_snapshot *snapshot, int status, struct kh_error *err)
{
    struct kh_disk *disk = snapshot->host->store.disk;
    int r = status ? explain(status, err) : kh_fault("snapshot-copied", err);

    if (r == 0 && snapshot->record.flags & KH_SNAPSHOT_MEMORY)
        r = kh_snapshot_copy_memory(snapshot, err);
    if (r == 0 && snapshot->kernels)
        r = kh_snapshot_note_kernels(snapshot, err);
    if (r == 0)
        r = kh_disk_used(disk, snapshot->id, &snapshot->record.held, err);
    if (r == 0 && !(snapshot->record.flags & KH_SNAPSHOT_TEMPORARY))
        r = write_record(snapshot, err);
    return r;
}

static void
copied(struct kh_process *process, int status)
{
    struct kh_snapshot *snapshot = process->owner;
    struct kh_host *host = snapshot->host;
    struct kh_error err = {0};
    int r;

    r = conclude(snapshot, status, &err);
    let_go(snapshot);
    if (r < 0) {
        kh_fail_in(&err, "cannot snapshot sandbox '%s'", snapshot->record.sandbox);
        discard(snapshot);
        snapshot->taken(snapshot->owner, NULL, &err);
        kh_snapshots_forget(&host->snapshots, snapshot);
        return;
    }
    (void)kh_fault("snapshot-recorded", NULL);
    snapshot->taking = false;
    kh_snapshots_set_clock(&host->snapshots);
    kh_log(KH_LOG_INFO, "snapshot taken name=%s sandbox=%s id=%s",
           snapshot->record.name, snapshot->record.sandbox, snapshot->id);
    snapshot->taken(snapshot->owner, snapshot, &err);
}

static int
start_child(struct kh_snapshot *snapshot, bool frozen, struct kh_error *err)
{
    pid_t parent = getpid(), pid;
    int pidfd = -1;

    pid = kh_sys_clone(0, -1, &pidfd);
    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        _exit(getppid() != parent ? EIO : -copy_disk(snapshot, frozen));
    }
    return kh_process_watch(&snapshot->process, pid, pidfd, copied, snapshot, err);
}

struct kh_snapshot *
kh_snapshot_new(struct kh_host *host, const struct kh_snapshot_record *record)
{
    struct kh_snapshot *snapshot = kh_xcalloc(1, sizeof(*snapshot));

    snapshot->host = host;
    snapshot->record = *record;
    snapshot->process.pidfd = -1;
    kh_id_text(record->id, snapshot->id);
    kh_snapshots_add(&host->snapshots, snapshot);
    return snapshot;
}

static struct kh_snapshot_record
describe(const struct kh_box *box, const struct kh_snapshot_record *wish)
{
    struct kh_snapshot_record record = *wish;

    kh_random(record.id, sizeof(record.id));
    memcpy(record.sandbox, box->record.name, sizeof(record.sandbox));
    memcpy(record.box, box->record.id, sizeof(record.box));
    memcpy(record.image, box->record.image, sizeof(record.image));
    memcpy(record.image_id, box->record.image_id, sizeof(record.image_id));
    record.limits = box->record.limits;
    record.created = (uint64_t)time(NULL);
    return record;
}

/* Leaves nothing on failure. */
static int
begin(struct kh_snapshot *snapshot, struct kh_box *box, struct kh_error *err)
{
    int r;

    if (mkdirat(snapshot->host->store.snapshots, snapshot->id, 0700) < 0)
        return kh_fail_errno(err, "cannot make a directory for snapshot '%s'",
                             snapshot->record.name);
    r = kh_fault("snapshot-begun", err);
    if (r == 0)
        r = hold_still(box, snapshot, err);
    if (r == 0) {
        r = kh_fault("snapshot-frozen", err);
        if (r == 0)
            r = start_child(snapshot, box->phase == KH_BOX_RUNNING, err);
        if (r < 0)
            let_go(snapshot);
    }
    if (r < 0)
        discard(snapshot);
    return r;
}

int
kh_snapshot_take(struct kh_box *box, const struct kh_snapshot_record *wish,
                 const uint8_t (*kernels)[KH_ID_SIZE],
                 void (*taken)(void *owner, struct kh_snapshot *snapshot,
                               const struct kh_error *failed),
                 void *owner, struct kh_error *err)
{
    struct kh_host *host = box->host;
    struct kh_snapshot_record record;
    struct kh_snapshot *snapshot;
    int r = check(box, wish, err);

    if (r < 0)
        return r;
    record = describe(box, wish);
    snapshot = kh_snapshot_new(host, &record);
    snapshot->taking = true;
    snapshot->taken = taken;
    snapshot->owner = owner;
    memcpy(snapshot->box, box->id, sizeof(snapshot->box));
    memcpy(snapshot->place, box->place, sizeof(snapshot->place));
    if (kernels) {
        snapshot->kernels = kh_xcalloc(KH_BROKER_KERNELS, KH_ID_SIZE);
        memcpy(snapshot->kernels, kernels, (size_t)KH_BROKER_KERNELS * KH_ID_SIZE);
    }
    r = begin(snapshot, box, err);
    if (r < 0)
        kh_snapshots_forget(&host->snapshots, snapshot);
    return r;
}

/* A temporary one has none. */
static int
remove_record(const struct kh_snapshot *snapshot, struct kh_error *err)
{
    AUTO_FD int dir = -1;

    if (snapshot->record.flags & KH_SNAPSHOT_TEMPORARY)
        return 0;
    dir = kh_snapshot_open_dir(snapshot, err);
    if (dir < 0)
        return dir;
    if ((unlinkat(dir, "record", 0) < 0 && errno != ENOENT) || fsync(dir) < 0)
        return kh_fail_errno(err, "cannot remove snapshot '%s'", snapshot->record.name);
    return 0;
}

int
kh_snapshot_remove(struct kh_snapshot *snapshot, struct kh_error *err)
{
    struct kh_host *host = snapshot->host;
    int r;

    if (snapshot->taking)
        return kh_fail(err, EBUSY, "snapshot '%s' is being taken (hint: try again)",
                       snapshot->record.name);
    r = remove_record(snapshot, err);
    if (r < 0)
        return r;
    (void)kh_fault("snapshot-removed", NULL);
    discard(snapshot);
    kh_log(KH_LOG_INFO, "snapshot removed name=%s", snapshot->record.name);
    kh_snapshots_forget(&host->snapshots, snapshot);
    kh_snapshots_set_clock(&host->snapshots);
    return 0;
}
