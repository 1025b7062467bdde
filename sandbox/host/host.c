#include "sandbox/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/box.h"
#include "sandbox/host/kit.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/snapshot.h"
#include "sandbox/host/spare.h"
#include "sandbox/host/tune.h"
#include "sandbox/host/zygote.h"
#include "sandbox/host/trash.h"

/* In kernelhostd's own mount namespace the state directory is nosuid and nodev:
 * a setuid file made inside a sandbox is nothing there. */
static int
private_mounts(const char *state, struct kh_error *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};

    if (unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return kh_fail_errno(err, "cannot make a mount namespace (hint: run as root)");
    if (mount(state, state, NULL, MS_BIND | MS_REC, NULL) < 0 ||
        mount_setattr(AT_FDCWD, state, AT_RECURSIVE, &attr, sizeof(attr)) < 0)
        return kh_fail_errno(err, "cannot remount '%s'", state);
    return 0;
}

static void
adopt(void *arg, const struct kh_record *record)
{
    kh_box_adopt(arg, record);
}

static void
problem(void *arg, const char *line)
{
    (void)arg;
    kh_log(KH_LOG_ERROR, "%s", line);
}

/* Ids, sorted. */
struct ids {
    const char **id;
    size_t count;
};

static int
compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool
is_among(void *arg, const char *id)
{
    const struct ids *ids = arg;

    return bsearch(&id, ids->id, ids->count, sizeof(id), compare_ids) != NULL;
}

/* Of the boxes in this phase (-1: in any), or (PLACES) what their disks are called. */
static struct ids
ids_of(const struct kh_host *host, int phase, bool places)
{
    struct ids ids = {.id = kh_xcalloc(host->boxes.count + 1, sizeof(*ids.id))};
    size_t i;

    for (i = 0; i < host->boxes.count; i++)
        if (phase < 0 || (int)host->boxes.at[i]->phase == phase)
            ids.id[ids.count++] =
                places ? host->boxes.at[i]->place : host->boxes.at[i]->id;
    qsort(ids.id, ids.count, sizeof(*ids.id), compare_ids);
    return ids;
}

static void
sweep_groups(struct kh_host *host)
{
    struct ids running = ids_of(host, KH_BOX_RUNNING, false);

    kh_cgroups_sweep(host->groups, is_among, &running);
    free(running.id);
}

/* Who still writes, though kernelhostd ended, thaws and freezes: so who stands still is
 * looked at behind that. */
static void
settle_memory(struct kh_host *host)
{
    struct ids hibernated = ids_of(host, KH_BOX_HIBERNATED, true);
    size_t i;

    kh_memory_sweep(&host->store, is_among, &hibernated);
    free(hibernated.id);
    for (i = 0; i < host->boxes.count; i++) {
        struct kh_box *box = host->boxes.at[i];

        box->frozen =
            box->phase == KH_BOX_RUNNING && kh_cgroup_is_frozen(host->groups, box->id);
    }
}

/* What is known to be somebody's. */
struct disks {
    const struct kh_host *host;
    struct ids places;
    bool doubt; /* a damaged record does not tell which is its own */
};

static bool
keep_disk(void *arg, const char *id)
{
    struct disks *disks = arg;

    return disks->doubt || is_among(&disks->places, id) ||
           faccessat(disks->host->store.snapshots, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A damaged record keeps its directory, and so its disk. */
static void
sweep_disks(struct kh_host *host)
{
    struct disks disks = {.host = host, .places = ids_of(host, -1, true)};

    disks.doubt = kh_store_count(&host->store) > host->boxes.count;
    if (host->store.disk)
        kh_disk_sweep(host->store.disk, keep_disk, &disks);
    free(disks.places.id);
}

static bool
keep_kit(void *arg, const char *version)
{
    const struct kh_host *host = arg;
    size_t i;

    for (i = 0; i < host->boxes.count; i++)
        if ((host->boxes.at[i]->phase == KH_BOX_RUNNING ||
             host->boxes.at[i]->phase == KH_BOX_HIBERNATED) &&
            !strcmp(host->boxes.at[i]->birth.kit, version))
            return true;
    for (i = 0; i < host->snapshots.count; i++)
        if (!strcmp(host->snapshots.at[i]->kit, version))
            return true;
    return !strcmp(host->kit_version, version);
}

/* The order matters: who has no record is in the trash after loading, its groups are
 * read and its processes end next, and only then is its disk deleted. */
static int
take_over(struct kh_host *host, struct kh_error *err)
{
    int r = kh_metering_open(host, err);

    if (r == 0)
        r = kh_store_load(&host->store, adopt, problem, host, err);
    if (r == 0)
        settle_memory(host);
    if (r == 0)
        r = kh_metering_adopt(host, err);
    if (r == 0)
        r = kh_snapshot_load(host, err);
    if (r < 0)
        return r;
    sweep_groups(host);
    sweep_disks(host);
    kh_kits_sweep(&host->store, keep_kit, host);
    if (host->boxes.count)
        kh_log(KH_LOG_INFO, "sandboxes taken over count=%zu running=%u",
               host->boxes.count, host->running);
    return kh_trash_delete_old(&host->store, err);
}

static int
open_groups(struct kh_host *host, struct kh_error *err)
{
    char key[KH_CGROUP_KEY_SIZE];
    struct stat st;
    int r;

    if (fstat(host->store.state, &st) < 0)
        return kh_fail_errno(err, "cannot inspect the state directory");
    snprintf(key, sizeof(key), "%" PRIx64 "-%" PRIx64, (uint64_t)st.st_dev,
             (uint64_t)st.st_ino);
    r = kh_cgroups_open(key, &host->groups, err);
    return r < 0 ? kh_fail_in(err, "cgroups") : 0;
}

/* Made and checked first, then opened through the new mount. */
static int
open_store(struct kh_host *host, const char *state, int lock, struct kh_error *err)
{
    int r = 0;

    if (lock < 0) {
        r = kh_store_open(state, -1, &host->store, err);
        if (r < 0)
            return r;
        kh_store_close(&host->store);
        r = private_mounts(state, err);
    }
    return r < 0 ? r : kh_store_open(state, lock, &host->store, err);
}

/* A host that cannot limit disks is a host all the same; who asks for a limit is
 * refused. What is on the disk must not be missing, though. */
static int
open_disk(struct kh_host *host, const char *state, struct kh_error *err)
{
    bool there = faccessat(host->store.state, "disk.img", F_OK, 0) == 0;
    int r = kh_disk_open(state, host->store.state, &host->store.disk, err);

    if (r == 0 || there)
        return r < 0
                   ? kh_fail_in(err, "the disk of the sandboxes, '%s/disk.img'", state)
                   : 0;
    kh_log(KH_LOG_WARN, "disks of sandboxes have no limit: %s", err->text);
    return 0;
}

int
kh_host_open(const char *state, const char *kit, uint32_t id_base, int lock,
             struct kh_host *ret_host, struct kh_error *err)
{
    struct kh_host *host = ret_host;
    int r;

    memset(host, 0, sizeof(*host));
    host->kit = host->wake_timer = host->snapshots.timer = -1;
    host->id_base = id_base;
    r = open_store(host, state, lock, err);
    if (r < 0)
        return r;
    kh_tune_host();
    r = open_disk(host, state, err);
    snprintf(host->mount_point, sizeof(host->mount_point), "%s/mnt", state);
    if (r == 0)
        r = kh_filter_compile(host->filter, err);
    if (r == 0)
        r = kh_filter_compile_zygote(host->zygote_filter, err);
    if (r == 0)
        r = open_groups(host, err);
    if (r == 0) {
        host->kit = kh_kit_open(&host->store, kit, host->kit_version, err);
        r = host->kit < 0 ? host->kit : 0;
    }
    if (r == 0)
        r = take_over(host, err);
    if (r < 0)
        kh_host_close(host);
    return r;
}

void
kh_host_close(struct kh_host *host)
{
    int i;

    while (host->boxes.count)
        kh_box_forget(host, host->boxes.at[host->boxes.count - 1]);
    kh_boxes_release(&host->boxes);
    kh_metering_free(host);
    if (host->wake_timer >= 0)
        kh_watch_remove(&host->wake_watch);
    kh_fd_close(&host->wake_timer);
    kh_snapshots_close(&host->snapshots);
    kh_spares_free(host);
    kh_zygote_end_all(host);
    free(host->preload);
    for (i = 0; i < KH_FILTER_PROGRAMS; i++) {
        free(host->filter[i].filter);
        free(host->zygote_filter[i].filter);
    }
    if (host->groups)
        kh_cgroups_remove_parents(host->groups);
    kh_cgroups_free(host->groups);
    kh_fd_close(&host->kit);
    kh_disk_close(host->store.disk);
    kh_store_close(&host->store);
}

int
kh_host_take_slot(struct kh_host *host, uint32_t *ret_slot, struct kh_error *err)
{
    uint32_t slot;

    for (slot = 0; slot < KH_IDMAP_SLOTS; slot++)
        if (!(host->slots[slot / 8] & (1u << slot % 8))) {
            host->slots[slot / 8] |= (uint8_t)(1u << slot % 8);
            *ret_slot = slot;
            return 0;
        }
    return kh_fail(err, EAGAIN,
                   "all %u id ranges are in use (hint: stop or remove some "
                   "sandboxes)",
                   KH_IDMAP_SLOTS);
}

void
kh_host_give_slot(struct kh_host *host, uint32_t slot)
{
    host->slots[slot / 8] &= (uint8_t) ~(1u << slot % 8);
}

int
kh_host_retake_slot(struct kh_host *host, uint32_t slot, uint32_t id_first,
                    struct kh_error *err)
{
    if (slot >= KH_IDMAP_SLOTS || kh_idmap_first(host->id_base, slot) != id_first)
        return kh_fail(err, ERANGE, "its ids from %u on are none of this host's",
                       id_first);
    if (host->slots[slot / 8] & (1u << slot % 8))
        return kh_fail(err, EADDRINUSE, "its ids from %u on are in use", id_first);
    host->slots[slot / 8] |= (uint8_t)(1u << slot % 8);
    return 0;
}
