#include "sandbox/host/snapshots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/snapshot.h"

#define RETRY_S 60 /* after one that could not be removed */

void
kh_snapshots_add(struct kh_snapshots *snapshots, struct kh_snapshot *snapshot)
{
    if (snapshots->count == snapshots->size) {
        snapshots->size = snapshots->size ? snapshots->size * 2 : 16;
        snapshots->at =
            kh_xrealloc(snapshots->at, snapshots->size * sizeof(*snapshots->at));
    }
    snapshot->number = ++snapshots->last;
    snapshots->at[snapshots->count++] = snapshot;
}

/* Index of the first whose number is above NUMBER. */
static size_t
index_after(const struct kh_snapshots *snapshots, uint64_t number)
{
    size_t low = 0, high = snapshots->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (snapshots->at[middle]->number > number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void
kh_snapshots_forget(struct kh_snapshots *snapshots, struct kh_snapshot *snapshot)
{
    size_t i = index_after(snapshots, snapshot->number - 1);

    snapshots->count--;
    memmove(&snapshots->at[i], &snapshots->at[i + 1],
            (snapshots->count - i) * sizeof(*snapshots->at));
    kh_process_forget(&snapshot->process);
    free(snapshot->kernels);
    free(snapshot);
}

struct kh_snapshot *
kh_snapshots_find(const struct kh_snapshots *snapshots, const char *name)
{
    size_t i;

    for (i = 0; i < snapshots->count; i++)
        if (!strcmp(snapshots->at[i]->record.name, name))
            return snapshots->at[i];
    return NULL;
}

struct kh_snapshot *
kh_snapshots_after(const struct kh_snapshots *snapshots, uint64_t number)
{
    size_t i = index_after(snapshots, number);

    while (i < snapshots->count && snapshots->at[i]->taking)
        i++;
    return i < snapshots->count ? snapshots->at[i] : NULL;
}

/* From the last to the first, since removing moves those behind. */
void
kh_snapshots_end_temporary(struct kh_snapshots *snapshots)
{
    struct kh_error err = {0};
    size_t i = snapshots->count;

    while (i-- > 0) {
        struct kh_snapshot *snapshot = snapshots->at[i];

        if (snapshot->record.flags & KH_SNAPSHOT_TEMPORARY && !snapshot->taking &&
            kh_snapshot_remove(snapshot, &err) < 0)
            kh_log(KH_LOG_WARN, "%s", err.text);
    }
}

/* By the wall clock, and anew when somebody sets that. */
static void
wake_at(const struct kh_snapshots *snapshots, uint64_t when)
{
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)when}};

    (void)timerfd_settime(snapshots->timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
                          &at, NULL);
}

void
kh_snapshots_set_clock(struct kh_snapshots *snapshots)
{
    uint64_t next = 0;
    size_t i;

    if (snapshots->timer < 0)
        return;
    for (i = 0; i < snapshots->count; i++) {
        uint64_t when = snapshots->at[i]->record.expires;

        if (when && !snapshots->at[i]->taking && (!next || when < next))
            next = when;
    }
    wake_at(snapshots, next); /* 0: never */
}

static void
expire(struct kh_watch *watch, uint32_t events)
{
    struct kh_snapshots *snapshots = watch->owner;
    uint64_t now = (uint64_t)time(NULL), times;
    struct kh_error err = {0};
    size_t i = snapshots->count;
    bool failed = false;

    (void)events;
    if (read(watch->fd, &times, sizeof(times)) < 0 && errno != ECANCELED)
        return;
    while (i-- > 0) {
        struct kh_snapshot *snapshot = snapshots->at[i];

        if (snapshot->taking || !snapshot->record.expires ||
            snapshot->record.expires > now)
            continue;
        kh_log(KH_LOG_INFO, "snapshot expires name=%s", snapshot->record.name);
        if (kh_snapshot_remove(snapshot, &err) < 0) {
            kh_log(KH_LOG_ERROR, "%s", err.text);
            failed = true;
        }
    }
    kh_snapshots_set_clock(snapshots);
    if (failed)
        wake_at(snapshots, now + RETRY_S);
}

int
kh_snapshots_open(struct kh_host *host, unsigned max, struct kh_error *err)
{
    struct kh_snapshots *snapshots = &host->snapshots;
    int r;

    snapshots->max = max;
    snapshots->timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (snapshots->timer < 0)
        return kh_fail_errno(err, "cannot make a timer");
    r = kh_watch_add(&snapshots->watch, snapshots->timer, EPOLLIN, expire, snapshots,
                     err);
    if (r == 0)
        kh_snapshots_set_clock(snapshots);
    return r;
}

void
kh_snapshots_close(struct kh_snapshots *snapshots)
{
    while (snapshots->count)
        kh_snapshots_forget(snapshots, snapshots->at[snapshots->count - 1]);
    free(snapshots->at);
    if (snapshots->timer >= 0) {
        kh_watch_remove(&snapshots->watch);
        kh_fd_close(&snapshots->timer);
    }
    *snapshots = (struct kh_snapshots){.timer = -1};
}
