#include "sandbox/host/watch.h"

#include <errno.h>
#include <stdlib.h>

static int set = -1;

int
kh_watch_open(struct kh_error *err)
{
    set = epoll_create1(EPOLL_CLOEXEC);
    return set < 0 ? kh_fail_errno(err, "cannot create epoll") : 0;
}

int
kh_watch_add(struct kh_watch *watch, int fd, uint32_t events,
             void (*ready)(struct kh_watch *, uint32_t), void *owner,
             struct kh_error *err)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
        return kh_fail_errno(err, "cannot watch a descriptor");
    *watch = (struct kh_watch){fd, events, ready, owner};
    return 0;
}

void
kh_watch_change(struct kh_watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    if (!watch->events || watch->events == events)
        return;
    if (epoll_ctl(set, EPOLL_CTL_MOD, watch->fd, &event) < 0)
        abort(); /* it is in the set, and its entry exists */
    watch->events = events;
}

void
kh_watch_remove(struct kh_watch *watch)
{
    if (!watch->events)
        return;
    (void)epoll_ctl(set, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->events = 0;
}

int
kh_watch_wait(int timeout_ms)
{
    struct epoll_event event;
    struct kh_watch *watch;
    int n = epoll_wait(set, &event, 1, timeout_ms);

    if (n <= 0)
        return n == 0 || errno == EINTR ? 0 : -errno;
    watch = event.data.ptr;
    watch->ready(watch, event.events);
    return 1;
}
