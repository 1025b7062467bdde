#include "sandbox/host/metering_own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define DIR_NAME "accounts"
#define ROUND_MS 10000u /* from one look at all boxes to the next */
#define PAUSE_MS 20u    /* between a few and the next few */
#define FEW      8u
#define QUIET_MS 60000u /* one without processes is looked at as often, */
#define SAVE_MS  60000u /* and the others' meters are written */
#define DISK_MS  5000u  /* a disk's figure is as old, at least */

static uint64_t
now_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
save_box(struct kh_metering *metering, struct kh_box *box)
{
    struct kh_error err = {0};

    box->metered_at = box->meter.at;
    if (kh_metering_save(metering, &box->meter, &err) < 0)
        kh_log(KH_LOG_ERROR, "%s", err.text);
}

static void
read_boot(char out[KH_METER_BOOT_SIZE])
{
    AUTO_FREE char *text = NULL;

    if (kh_fd_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id",
                        KH_METER_BOOT_SIZE - 1, &text, NULL, NULL) == 0)
        snprintf(out, KH_METER_BOOT_SIZE, "%.36s", text);
}

int
kh_metering_open(struct kh_host *host, struct kh_error *err)
{
    struct kh_metering *metering = kh_xcalloc(1, sizeof(*metering));
    int state = host->store.state;

    host->metering = metering;
    metering->timer = metering->dir = -1;
    read_boot(metering->boot);
    if (mkdirat(state, DIR_NAME, 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make directory '" DIR_NAME "'");
    metering->dir =
        openat(state, DIR_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return metering->dir < 0
               ? kh_fail_errno(err, "cannot open directory '" DIR_NAME "'")
               : kh_metering_load(metering, err);
}

void
kh_metering_free(struct kh_host *host)
{
    struct kh_metering *metering = STEAL_PTR(host->metering);

    if (!metering)
        return;
    kh_watch_remove(&metering->watch);
    kh_fd_close(&metering->timer);
    kh_fd_close(&metering->dir);
    free(metering->ended);
    free(metering);
}

/* ---- reading ---- */

static uint32_t
state_of(const struct kh_box *box)
{
    switch (box->phase) {
    case KH_BOX_RUNNING:
    case KH_BOX_STOPPING:
        return box->frozen ? KH_SANDBOX_FROZEN : KH_SANDBOX_RUNNING;
    case KH_BOX_SAVING:
        return KH_SANDBOX_FROZEN;
    case KH_BOX_WAKING:
    case KH_BOX_HIBERNATED:
        return KH_SANDBOX_HIBERNATED;
    default:
        return KH_SANDBOX_STOPPED;
    }
}

/* While it is frozen for the disk, or comes back, it is CRIU that works in its group.
 */
static bool
has_own_group(const struct kh_box *box)
{
    return box->phase == KH_BOX_RUNNING || box->phase == KH_BOX_STOPPING ||
           box->phase == KH_BOX_STOPPED;
}

static void
read_groups(struct kh_host *host, const char *id, struct kh_reading *now,
            struct kh_usage *ret_usage)
{
    struct kh_usage usage = {0};

    now->group = host->groups ? kh_cgroup_number(host->groups, id) : 0;
    if (!now->group)
        return;
    kh_cgroup_usage(host->groups, id, &usage);
    now->cpu_usec = usage.cpu_usec;
    now->memory = usage.memory;
    if (ret_usage)
        *ret_usage = usage;
}

static struct kh_reading
read_box(struct kh_host *host, struct kh_box *box, struct kh_usage *ret_usage)
{
    struct kh_reading now = {.at = now_ms(), .state = state_of(box)};

    if (has_own_group(box))
        read_groups(host, box->id, &now, ret_usage);
    if (host->store.disk && box->phase != KH_BOX_REMOVING &&
        (!box->disk_at || now.at - box->disk_at >= DISK_MS)) {
        (void)kh_disk_used(host->store.disk, box->place, &box->disk_used, NULL);
        box->disk_at = now.at;
    }
    now.disk = box->disk_used;
    if (now.state == KH_SANDBOX_HIBERNATED)
        now.disk += box->saved;
    return now;
}

void
kh_metering_read(struct kh_host *host, struct kh_box *box, struct kh_usage *ret_usage)
{
    struct kh_reading now = read_box(host, box, ret_usage);

    kh_meter_add(&box->meter, &now);
}

/* A box takes its names from its record: a spare has another in the end. */
static void
label(struct kh_host *host, struct kh_box *box)
{
    memcpy(box->meter.id, box->record.id, sizeof(box->meter.id));
    memcpy(box->meter.name, box->record.name, sizeof(box->meter.name));
    box->meter.created = box->record.created;
    if (host->metering)
        memcpy(box->meter.boot, host->metering->boot, sizeof(box->meter.boot));
}

void
kh_metering_settle(struct kh_host *host, struct kh_box *box)
{
    if (box->spare != KH_SPARE_NOT || !host->metering)
        return;
    kh_metering_read(host, box, NULL);
    label(host, box);
    save_box(host->metering, box);
}

void
kh_metering_begin(struct kh_host *host, struct kh_box *box)
{
    struct kh_reading now = read_box(host, box, NULL);

    kh_meter_begin(&box->meter, &now);
}

void
kh_metering_skip(struct kh_host *host, struct kh_box *box)
{
    struct kh_reading now = {.at = 0};

    read_groups(host, box->id, &now, NULL);
    kh_meter_skip(&box->meter, &now);
    label(host, box);
    if (host->metering && box->spare == KH_SPARE_NOT)
        save_box(host->metering, box);
}

/* ---- looking at all of them ---- */

static void
wake_in(struct kh_metering *metering, unsigned ms)
{
    struct itimerspec when = {.it_value = {ms / 1000, ms % 1000 * 1000000L}};

    (void)timerfd_settime(metering->timer, 0, &when, NULL);
}

static void
look(struct kh_host *host, struct kh_box *box)
{
    uint64_t now = now_ms();

    if (box->spare != KH_SPARE_NOT || box->phase == KH_BOX_REMOVING)
        return;
    if (state_of(box) != KH_SANDBOX_RUNNING && now - box->meter.at < QUIET_MS)
        return;
    kh_metering_read(host, box, NULL);
    if (state_of(box) != KH_SANDBOX_STOPPED && now - box->metered_at >= SAVE_MS) {
        label(host, box);
        save_box(host->metering, box);
    }
}

static void
look_at_few(struct kh_watch *watch, uint32_t events)
{
    struct kh_host *host = watch->owner;
    struct kh_metering *metering = host->metering;
    uint64_t times;
    unsigned i;

    (void)events;
    if (read(watch->fd, &times, sizeof(times)) < 0)
        return;
    for (i = 0; i < FEW; i++) {
        struct kh_box *box = kh_boxes_after(&host->boxes, metering->next);

        if (!box) {
            metering->next = 0;
            wake_in(metering, ROUND_MS);
            return;
        }
        metering->next = box->number;
        look(host, box);
    }
    wake_in(metering, PAUSE_MS);
}

/* ---- taking over ---- */

static int
compare_ids(const void *a, const void *b)
{
    const struct kh_metered *p = a, *q = b;

    return memcmp(p->meter.id, q->meter.id, KH_ID_SIZE);
}

static void
give(struct kh_host *host, struct kh_box *box)
{
    struct kh_metering *metering = host->metering;
    struct kh_metered key, *found;

    memcpy(key.meter.id, box->record.id, KH_ID_SIZE);
    found = metering->count ? bsearch(&key, metering->ended, metering->count,
                                      sizeof(key), compare_ids)
                            : NULL;
    if (found) {
        box->meter = found->meter;
        found->number = 0;
    }
    if (box->phase == KH_BOX_STOPPED && kh_cgroup_number(host->groups, box->id)) {
        kh_cgroup_kill(host->groups, box->id);
        kh_metering_settle(host, box);
        return;
    }
    /* To look at ten thousand disks takes seconds, and they are looked at within the
     * next minute anyway. */
    if (found && box->phase == KH_BOX_STOPPED) {
        box->disk_used = box->meter.sum.disk_now;
        box->disk_at = now_ms();
    }
    kh_metering_read(host, box, NULL);
}

/* What has no box was being removed: its processes end now, if there are any. */
static void
finish(struct kh_host *host, struct kh_meter *meter)
{
    struct kh_reading now = {.at = now_ms(), .state = KH_SANDBOX_STOPPED};
    struct kh_error err = {0};
    char id[KH_ID_TEXT];

    kh_id_text(meter->id, id);
    now.disk = meter->sum.disk_now;
    if (kh_cgroup_number(host->groups, id)) {
        kh_cgroup_kill(host->groups, id);
        read_groups(host, id, &now, NULL);
    }
    kh_meter_add(meter, &now);
    if (kh_metering_save(host->metering, meter, &err) < 0)
        kh_log(KH_LOG_ERROR, "%s", err.text);
}

int
kh_metering_adopt(struct kh_host *host, struct kh_error *err)
{
    struct kh_metering *metering = host->metering;
    size_t i, kept = 0;

    if (metering->count)
        qsort(metering->ended, metering->count, sizeof(*metering->ended), compare_ids);
    for (i = 0; i < host->boxes.count; i++)
        give(host, host->boxes.at[i]);
    metering->last = 0;
    for (i = 0; i < metering->count; i++) {
        if (!metering->ended[i].number)
            continue;
        metering->ended[kept] = metering->ended[i];
        metering->ended[kept].number = ++metering->last;
        finish(host, &metering->ended[kept++].meter);
    }
    metering->count = kept;
    metering->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (metering->timer < 0)
        return kh_fail_errno(err, "cannot make a timer");
    wake_in(metering, ROUND_MS);
    return kh_watch_add(&metering->watch, metering->timer, EPOLLIN, look_at_few, host,
                        err);
}
