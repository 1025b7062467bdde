/* Who is to be woken, in the order in which they came. */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "sandbox/host/box_own.h"
#include "sandbox/host/wake_own.h"

/* By facts that are read once for all who wait: what one takes is no longer there for
 * the next. */
static bool
fits(struct kh_wake *wake, struct kh_admission_facts *facts, struct kh_error *err)
{
    struct kh_host *host = wake->box->host;
    uint64_t most = wake->box->record.limits.memory, saved = wake->box->saved;
    uint64_t *left = &facts->room.memory_available;

    facts->running = host->running;
    facts->need = saved < most ? saved : most;
    if (kh_admission_take(&host->admission, facts, err) < 0)
        return false;
    *left -= facts->need < *left ? facts->need : *left;
    return true;
}

static void
try_again(struct kh_watch *watch, uint32_t events)
{
    struct kh_host *host = watch->owner;
    uint64_t times;

    (void)events;
    (void)!read(watch->fd, &times, sizeof(times));
    kh_wake_pump(host);
}

static void
look_later(struct kh_host *host)
{
    struct itimerspec when = {.it_value = {0, 100 * 1000 * 1000}};
    struct kh_error err = {0};

    if (host->wake_timer < 0) {
        host->wake_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (host->wake_timer < 0 || kh_watch_add(&host->wake_watch, host->wake_timer,
                                                 EPOLLIN, try_again, host, &err) < 0)
            abort(); /* those who wait would wait for ever */
    }
    (void)timerfd_settime(host->wake_timer, 0, &when, NULL);
}

static uint64_t
now_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* In the order in which they came; one for which there is no room now keeps nobody from
 * waking behind it. */
void
kh_wake_pump(struct kh_host *host)
{
    long most = sysconf(_SC_NPROCESSORS_ONLN);
    struct kh_wake **at = &host->wakes;
    struct kh_admission_facts facts = {.running = 0};
    struct kh_error unread = {0};
    bool waits = false;

    if (*at)
        (void)kh_admission_read(host->store.state, &facts, &unread);
    while (*at && host->waking < (most > 1 ? (unsigned)most : 2)) {
        struct kh_wake *wake = *at;
        struct kh_error err = unread;

        if (!err.code && fits(wake, &facts, &err)) {
            *at = wake->next;
            kh_wake_start(wake);
            at = &host->wakes; /* it may have come to its end, and others with it */
        } else if (err.code == ENOMEM && now_ms() < wake->since + KH_WAKE_WAIT_MS) {
            waits = true;
            at = &wake->next;
        } else {
            *at = wake->next;
            host->waking++;
            wake->box->phase = KH_BOX_HIBERNATED;
            kh_wake_done(wake, &err); /* which comes here again */
            return;
        }
    }
    if (waits)
        look_later(host);
}

int
kh_wake_begin(struct kh_box *box, void (*done)(void *owner, const struct kh_error *err),
              void *owner, struct kh_error *err)
{
    struct kh_wake *wake, **at = &box->host->wakes;

    if (box->phase != KH_BOX_HIBERNATED)
        return kh_fail(err, EALREADY, "sandbox '%s' is not hibernated",
                       box->record.name);
    if (!box->host->criu.program[0])
        return kh_fail(err, ENOTSUP,
                       "this host has no criu to wake sandbox '%s' with (hint: "
                       "kernelhost doctor)",
                       box->record.name);
    wake = kh_xcalloc(1, sizeof(*wake));
    *wake = (struct kh_wake){.box = box,
                             .criu = KH_PROCESS_NONE,
                             .talk = -1,
                             .timer = -1,
                             .dir = -1,
                             .pidfd = -1,
                             .since = now_ms(),
                             .done = done,
                             .owner = owner};
    box->wake = wake;
    box->phase = KH_BOX_WAKING;
    while (*at)
        at = &(*at)->next;
    *at = wake;
    kh_wake_pump(box->host);
    return 0;
}

void
kh_wake_end_all(struct kh_host *host)
{
    struct kh_error err = {0};

    kh_fail(&err, ECANCELED, "the host ends");
    while (host->wakes) {
        struct kh_wake *wake = host->wakes;

        host->wakes = wake->next;
        host->waking++;
        wake->box->phase = KH_BOX_HIBERNATED;
        kh_wake_done(wake, &err);
    }
}
