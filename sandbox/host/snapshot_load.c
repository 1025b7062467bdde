/* Snapshots of an earlier host. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/snapshot.h"

/* As that of a sandbox: kept as damaged/ID.snapshot, its disk in place. */
static void
set_aside(struct kh_store *store, const char *id, const struct kh_error *why)
{
    AUTO_FREE char *name = kh_xasprintf("%s.snapshot", id);
    AUTO_FREE char *path = kh_xasprintf("%s/record", id);

    if (renameat(store->snapshots, path, store->damaged, name) < 0)
        snprintf(name, strlen(name) + 1, "-");
    kh_log(
        KH_LOG_ERROR,
        "snapshot record set aside id=%s reason='%s' moved='damaged/%s' (hint: put a "
        "good copy back as 'record' in snapshots/%s)",
        id, why->text, name, id);
}

static void
thaw(struct kh_host *host, const char *id)
{
    struct kh_box *box = kh_boxes_find_id(&host->boxes, id);
    struct kh_error err = {0};

    if (!box || box->phase != KH_BOX_RUNNING)
        return;
    box->frozen = false;
    if (kh_cgroup_freeze(host->groups, id, false, &err) < 0)
        kh_log(KH_LOG_ERROR, "cannot thaw name=%s: %s", box->record.name, err.text);
    kh_metering_settle(host, box);
}

/* The sandbox that stood still for snapshot ID. */
static void
thaw_for(struct kh_host *host, const char *id)
{
    int fd = openat(host->store.snapshots, id,
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (!strncmp(entry->d_name, KH_SNAPSHOT_FROZE, strlen(KH_SNAPSHOT_FROZE))) {
            thaw(host, entry->d_name + strlen(KH_SNAPSHOT_FROZE));
            (void)unlinkat(fd, entry->d_name, 0);
        }
    if (dir)
        closedir(dir);
}

/* What has no record was never acknowledged, or was removed; what has a damaged one
 * stays. Its disk is swept when its directory is gone. */
static void
drop(struct kh_store *store, const char *id)
{
    AUTO_FREE char *aside = kh_xasprintf("%s.snapshot", id);

    if (faccessat(store->damaged, aside, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
        renameat(store->snapshots, id, store->trash, id) < 0)
        kh_log(KH_LOG_WARN, "cannot move snapshot '%s' to the trash: %s", id,
               strerror(errno));
}

/* Its kit is needed for as long as it is there. */
static void
add(struct kh_host *host, const struct kh_snapshot_record *record)
{
    struct kh_snapshot *snapshot = kh_snapshot_new(host, record);
    struct kh_birth birth;
    struct kh_error err = {0};
    int memory;

    if (!(record->flags & KH_SNAPSHOT_MEMORY))
        return;
    memory = kh_snapshot_open_memory(snapshot, &birth, &err);
    if (memory < 0) {
        kh_log(KH_LOG_ERROR, "snapshot has lost its memory name=%s: %s", record->name,
               err.text);
        return;
    }
    memcpy(snapshot->kit, birth.kit, sizeof(snapshot->kit));
    snapshot->saved = kh_memory_bytes(memory);
    close(memory);
}

static void
load_one(struct kh_host *host, const char *id)
{
    struct kh_snapshot_record record = {.expires = 0};
    struct kh_error err = {0};
    int r = kh_snapshot_read(host->store.snapshots, id, id, &record, &err);

    thaw_for(host, id);
    if (r == -ENOENT ||
        (r == 0 && record.expires && record.expires <= (uint64_t)time(NULL))) {
        drop(&host->store, id);
        return;
    }
    if (r == 0 && kh_snapshots_find(&host->snapshots, record.name))
        r = kh_fail(&err, EEXIST, "another snapshot has its name, '%s'", record.name);
    if (r < 0)
        set_aside(&host->store, id, &err);
    else
        add(host, &record);
}

static int
compare(const void *a, const void *b)
{
    const struct kh_snapshot *p = *(struct kh_snapshot *const *)a;
    const struct kh_snapshot *q = *(struct kh_snapshot *const *)b;

    if (p->record.created != q->record.created)
        return p->record.created < q->record.created ? -1 : 1;
    return strcmp(p->id, q->id);
}

/* A child of an earlier kernelhostd may be about to make one more disk. */
static int
wait_for_children(const struct kh_store *store, struct kh_error *err)
{
    return flock(store->snapshots, LOCK_EX) < 0 || flock(store->snapshots, LOCK_UN) < 0
               ? kh_fail_errno(err, "cannot lock the snapshots")
               : 0;
}

int
kh_snapshot_load(struct kh_host *host, struct kh_error *err)
{
    struct kh_snapshots *snapshots = &host->snapshots;
    int r = wait_for_children(&host->store, err);
    int fd = openat(host->store.snapshots, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    size_t i;

    if (!dir)
        r = kh_fail_errno(err, "cannot list the snapshots");
    while (r == 0 && (entry = readdir(dir)))
        if (kh_id_text_valid(entry->d_name))
            load_one(host, entry->d_name);
        else if (!strncmp(entry->d_name, KH_SNAPSHOT_IMPORT,
                          strlen(KH_SNAPSHOT_IMPORT)))
            drop(&host->store, entry->d_name); /* nobody asked for it in time */
    if (dir)
        closedir(dir);
    /* In the order of their making, as those that come. */
    if (snapshots->count)
        qsort(snapshots->at, snapshots->count, sizeof(*snapshots->at), compare);
    for (i = 0; i < snapshots->count; i++)
        snapshots->at[i]->number = i + 1;
    return r;
}
