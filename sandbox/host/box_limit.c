/* Other limits for a sandbox that exists. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "sandbox/host/box_own.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/weigh.h"

#define MIB (1024ull * 1024)

/* What is 0 stays as it is. */
static void
merge(struct kh_limits *limits, const struct kh_limits *wanted)
{
    if (wanted->memory)
        limits->memory = wanted->memory;
    if (wanted->cpu_milli)
        limits->cpu_milli = wanted->cpu_milli;
    if (wanted->pids)
        limits->pids = wanted->pids;
    if (wanted->disk)
        limits->disk = wanted->disk;
}

/* One that was made where disks had no limit keeps a disk that can have none. */
static int
check_disk(struct kh_host *host, const struct kh_box *box, uint64_t bytes,
           struct kh_error *err)
{
    uint64_t used = 0;
    int r = kh_disk_check(host->store.disk, &bytes, err);

    if (r == 0)
        r = kh_disk_used(host->store.disk, box->place, &used, err);
    if (r == -ENOENT)
        return kh_fail(err, EINVAL,
                       "'%s' was made where disks have no limit (hint: make a new one)",
                       box->record.name);
    if (r == 0 && used > bytes)
        return kh_fail(err, EBUSY,
                       "%" PRIu64 " MiB of disk are in use, more than a limit of "
                       "%" PRIu64 " MiB (hint: delete some of it, or allow more)",
                       (uint64_t)((used + MIB - 1) / MIB), (uint64_t)(bytes / MIB));
    return r;
}

static bool
has_groups(const struct kh_box *box)
{
    return box->phase == KH_BOX_RUNNING;
}

static int
apply(struct kh_host *host, const struct kh_box *box, const struct kh_limits *from,
      const struct kh_limits *to, struct kh_error *err)
{
    int r =
        has_groups(box) ? kh_cgroup_change(host->groups, box->id, from, to, err) : 0;

    if (r == 0 && to->disk != from->disk)
        r = kh_disk_limit(host->store.disk, box->place, to->disk, err);
    return r;
}

/* They come back with it, or not at all. */
static int
check_saved(struct kh_host *host, const struct kh_box *box, uint64_t memory,
            struct kh_error *err)
{
    char command[32 + KH_NAME_SIZE];
    struct kh_weight weight = {0};
    AUTO_FD int dir = -1;

    if (box->phase != KH_BOX_HIBERNATED)
        return 0;
    dir = kh_memory_open(&host->store, box->place, NULL, NULL, NULL, err);
    if (dir < 0)
        return dir;
    weight.memory = kh_memory_pages(dir);
    snprintf(command, sizeof(command), "kernelhost limits %s", box->record.name);
    return kh_weight_fits(&weight, memory, command, err);
}

static int
check(struct kh_host *host, const struct kh_box *box, const struct kh_limits *wanted,
      struct kh_limits *limits, struct kh_error *err)
{
    int r;

    if (box->phase != KH_BOX_RUNNING && box->phase != KH_BOX_HIBERNATED &&
        box->phase != KH_BOX_STOPPED)
        return kh_fail(err, EBUSY, "it is about to change its state (hint: try again)");
    r = kh_limits_check(limits, err);
    if (r == 0 && wanted->memory)
        r = check_saved(host, box, limits->memory, err);
    return r == 0 && wanted->disk ? check_disk(host, box, wanted->disk, err) : r;
}

int
kh_box_limit(struct kh_host *host, struct kh_box *box, const struct kh_limits *limits,
             struct kh_error *err)
{
    struct kh_limits before = box->record.limits, after = before;
    int r;

    merge(&after, limits);
    r = check(host, box, limits, &after, err);
    if (r < 0)
        return kh_fail_in(err, "cannot change the limits of '%s'", box->record.name);
    r = apply(host, box, &before, &after, err);
    if (r == 0) {
        box->record.limits = after;
        r = kh_store_save(&host->store, &box->record, err);
        if (r < 0)
            box->record.limits = before;
    }
    if (r == 0)
        return 0;
    if (memcmp(&before, &after, sizeof(before)) != 0)
        (void)apply(host, box, &after, &before, NULL);
    return kh_fail_in(err, "cannot change the limits of '%s'", box->record.name);
}

void
kh_box_enforce(struct kh_host *host, struct kh_box *box)
{
    const struct kh_limits *limits = &box->record.limits;
    struct kh_error err = {0};
    int r = has_groups(box) ? kh_cgroup_limit(host->groups, box->id, limits, &err) : 0;

    if (r == 0 && limits->disk && host->store.disk)
        r = kh_disk_limit(host->store.disk, box->place, limits->disk, &err);
    if (r < 0)
        kh_log(KH_LOG_WARN, "limits are not as recorded name=%s: %s", box->record.name,
               err.text);
}
