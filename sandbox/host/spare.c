#include "sandbox/host/spare.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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
#include "sandbox/host/admission.h"
#include "sandbox/host/image.h"
#include "sandbox/host/join.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/plan.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/zygote.h"

#define MS           1000000ll
#define RETRY_MS     1000 /* after it could not be made */
#define IMAGE_PRESET "default"

static int64_t
now_ns(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 * MS + now.tv_nsec;
}

static void
wake_in(struct kh_spares *spares, int64_t ns)
{
    struct itimerspec when = {.it_value = {ns / (1000 * MS), ns % (1000 * MS)}};

    if (ns < 1)
        when.it_value.tv_nsec = 1; /* zero would disarm it */
    (void)timerfd_settime(spares->timer, 0, &when, NULL);
}

/* The one in the making is there, or could not be. */
static void
joined(void *owner, const struct kh_error *err)
{
    struct kh_box *box = owner;
    struct kh_spares *spares = box->host->spares;
    int64_t spent = now_ns() - spares->begun;

    spares->making = false;
    if (err->code) {
        if (box->phase == KH_BOX_RUNNING)
            (void)kh_box_stop(box->host, box, true, NULL);
        wake_in(spares, RETRY_MS * MS);
        return;
    }
    box->spare = KH_SPARE_READY;
    box->warm = true;
    box->next_spare = spares->ready;
    spares->ready = box;
    wake_in(spares, spent * (100 - KH_SPARES_PERCENT) / KH_SPARES_PERCENT);
}

static int
make(struct kh_spares *spares, struct kh_error *err)
{
    struct kh_record record = {.state = KH_SANDBOX_RUNNING};
    struct kh_host *host = spares->host;
    char id[KH_ID_TEXT];
    struct kh_box *box;
    int r = kh_limits_check(&record.limits, err);

    if (r == 0)
        r = kh_disk_check(host->store.disk, &record.limits.disk, err);
    if (r == 0)
        r = kh_admission_check(&host->admission, host->store.state, host->running, err);
    if (r < 0)
        return r;
    kh_random(record.id, sizeof(record.id));
    kh_id_text(record.id, id);
    snprintf(record.name, sizeof(record.name), "~%s", id);
    snprintf(record.image, sizeof(record.image), IMAGE_PRESET);
    memcpy(record.image_id, spares->image.id, sizeof(record.image_id));
    spares->begun = now_ns();
    r = kh_box_make(host, &record, NULL, &box, err);
    if (r < 0)
        return r;
    box->spare = KH_SPARE_MAKING;
    box->remove = true;
    spares->count++;
    r = kh_join_begin(box, joined, box, err);
    if (r < 0)
        (void)kh_box_stop(host, box, true, NULL);
    else
        spares->making = true;
    return r;
}

/* What the name means now: an image id, and which making of it. One that was removed
 * and came again has the same id, but the layers under the spares are gone. */
static bool
look_up(const struct kh_host *host, struct kh_spare_image *ret_image)
{
    char path[KH_ID_TEXT + 8];
    struct stat st;

    memset(ret_image, 0, sizeof(*ret_image));
    if (kh_image_find(&host->store, IMAGE_PRESET, ret_image->id, NULL) < 0)
        return false;
    snprintf(path, sizeof(path), "id/%s", ret_image->id);
    if (fstatat(host->store.images, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    ret_image->inode = st.st_ino;
    ret_image->changed = st.st_ctim.tv_sec * 1000 * MS + st.st_ctim.tv_nsec;
    return true;
}

static bool
is_same(const struct kh_spare_image *a, const struct kh_spare_image *b)
{
    return !strcmp(a->id, b->id) && a->inode == b->inode && a->changed == b->changed;
}

/* Drops the spares of what the name meant before. */
static bool
follow_image(struct kh_spares *spares)
{
    struct kh_boxes *boxes = &spares->host->boxes;
    struct kh_spare_image now;
    bool there = look_up(spares->host, &now);
    size_t i;

    if (there && is_same(&now, &spares->image))
        return true;
    spares->image = now;
    spares->ready = NULL;
    for (i = 0; i < boxes->count; i++)
        if (boxes->at[i]->spare && boxes->at[i]->phase == KH_BOX_RUNNING)
            (void)kh_box_stop(spares->host, boxes->at[i], true, NULL);
    return there;
}

static void
refill(struct kh_watch *watch, uint32_t events)
{
    struct kh_spares *spares = watch->owner;
    struct kh_zygote *zygote;
    struct kh_error err = {0};
    uint64_t times;

    (void)events;
    if (read(watch->fd, &times, sizeof(times)) < 0)
        return;
    if (!follow_image(spares)) {
        wake_in(spares, 10 * RETRY_MS * MS);
        return;
    }
    if (spares->making || spares->count >= spares->wanted)
        return;
    zygote = kh_zygote_of(spares->host, spares->image.id);
    if (!zygote) /* and none will come: see its line in the log */
        return;
    if (zygote->state != KH_ZYGOTE_READY || make(spares, &err) < 0)
        wake_in(spares, RETRY_MS * MS);
}

/* The upper is under a mounted overlay, but of these two files only the content
 * changes, which the overlay reads from where it is. What is there was ours; a
 * warm runner has not run anybody's code, but it is not believed either. */
static int
rewrite(int box, const char *path, const char *text, struct kh_error *err)
{
    AUTO_FD int fd = kh_sys_open_in(box, path, O_WRONLY | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return kh_fail_errno(err, "cannot open '%s' of a spare", path);
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
        return kh_fail(err, EINVAL, "'%s' of a spare is not what it was", path);
    if (ftruncate(fd, 0) < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return kh_fail_errno(err, "cannot write '%s' of a spare", path);
    return 0;
}

static int
set_host_name(const struct kh_box *box, const char *name, struct kh_error *err)
{
    AUTO_FD int own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    int r = 0;

    if (own < 0 || setns(box->process.pidfd, CLONE_NEWUTS) < 0)
        return kh_fail_errno(err, "cannot enter a spare's uts namespace");
    if (sethostname(name, strlen(name)) < 0)
        r = kh_fail_errno(err, "cannot name a spare");
    if (setns(own, CLONE_NEWUTS) < 0)
        abort(); /* nothing could go on under a sandbox's name */
    return r;
}

static int
rename_inside(struct kh_box *box, const char *name, struct kh_error *err)
{
    AUTO_FD int dir = kh_store_open_disk(&box->host->store, &box->record, 0, err);
    AUTO_FREE char *host = kh_store_hostname(name);
    AUTO_FREE char *hosts = kh_store_hosts(name);
    int r = dir < 0 ? dir : set_host_name(box, name, err);

    if (r == 0)
        r = rewrite(dir, "upper/etc/hostname", host, err);
    return r < 0 ? r : rewrite(dir, "upper/etc/hosts", hosts, err);
}

/* The limit of the disk is set when it is opened. */
static bool
fits(const struct kh_limits *a, const struct kh_limits *b)
{
    return a->memory == b->memory && a->cpu_milli == b->cpu_milli && a->pids == b->pids;
}

struct kh_box *
kh_spares_claim(struct kh_host *host, const struct kh_record *record)
{
    struct kh_spares *spares = host->spares;
    struct kh_box *box = spares ? spares->ready : NULL;
    struct kh_spare_image image;
    struct kh_error err = {0};

    while (box && box->phase != KH_BOX_RUNNING)
        box = box->next_spare;
    if (!box || !fits(&box->record.limits, &record->limits))
        return NULL;
    if (!look_up(host, &image) || !is_same(&image, &spares->image)) {
        wake_in(spares, MS);
        return NULL;
    }
    if (strcmp(box->record.image_id, record->image_id) != 0)
        return NULL;
    spares->ready = box->next_spare;
    wake_in(spares, KH_SPARES_PAUSE * MS);
    box->record.limits.disk = record->limits.disk;
    box->record.ladder = record->ladder;
    if (rename_inside(box, record->name, &err) < 0) {
        kh_log(KH_LOG_WARN, "%s", err.text);
        (void)kh_box_stop(host, box, true, NULL);
        return NULL;
    }
    spares->count--;
    box->spare = KH_SPARE_NOT;
    box->remove = false;
    kh_box_rename(box, record->name);
    memcpy(box->record.image, record->image, sizeof(box->record.image));
    box->record.created = record->created;
    box->record.started = record->started;
    kh_metering_begin(host, box);
    return box;
}

void
kh_spares_ended(struct kh_box *box)
{
    struct kh_spares *spares = box->host->spares;
    struct kh_box **at = &spares->ready;

    while (*at && *at != box)
        at = &(*at)->next_spare;
    if (*at)
        *at = box->next_spare;
    spares->count--;
    wake_in(spares, RETRY_MS * MS);
}

int
kh_spares_open(struct kh_host *host, unsigned wanted, struct kh_error *err)
{
    struct kh_spares *spares;
    int r;

    if (!wanted)
        return 0;
    spares = kh_xcalloc(1, sizeof(*spares));
    spares->host = host;
    spares->wanted = wanted < KH_SPARES_MAX ? wanted : KH_SPARES_MAX;
    spares->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (spares->timer < 0) {
        free(spares);
        return kh_fail_errno(err, "cannot make a timer");
    }
    r = kh_watch_add(&spares->watch, spares->timer, EPOLLIN, refill, spares, err);
    if (r < 0) {
        close(spares->timer);
        free(spares);
        return r;
    }
    host->spares = spares;
    wake_in(spares, MS);
    return 0;
}

void
kh_spares_close(struct kh_host *host)
{
    if (host->spares)
        host->spares->wanted = 0;
}

void
kh_spares_free(struct kh_host *host)
{
    if (!host->spares)
        return;
    kh_watch_remove(&host->spares->watch);
    close(host->spares->timer);
    free(host->spares);
    host->spares = NULL;
}
