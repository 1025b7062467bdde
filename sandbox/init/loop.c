#include "sandbox/init/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_A_TURN 64

static int epoll_fd = -1;

int
kh_loop_open(struct kh_error *err)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? kh_fail_errno(err, "cannot create epoll") : 0;
}

void
kh_source_open(struct kh_source *source, int fd,
               void (*ready)(struct kh_source *, uint32_t), void *owner)
{
    *source = (struct kh_source){.fd = fd, .ready = ready, .owner = owner};
}

void
kh_source_watch(struct kh_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    int op;

    if (source->fd < 0 || source->events == events)
        return;
    op = !events ? EPOLL_CTL_DEL : !source->events ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(epoll_fd, op, source->fd, &event) < 0)
        abort();
    source->events = events;
}

void
kh_source_close(struct kh_source *source)
{
    if (source->fd < 0)
        return;
    /* Explicitly: a child between fork and exec may still hold the file open,
     * and closing our descriptor alone would leave it in the set. */
    kh_source_watch(source, 0);
    close(source->fd);
    source->fd = -1;
}

static int
timeout_until(uint64_t deadline)
{
    uint64_t now;

    if (deadline == KH_NEVER)
        return -1;
    now = kh_now();
    if (deadline <= now)
        return 0;
    return deadline - now > INT_MAX ? INT_MAX : (int)(deadline - now);
}

void
kh_loop_run_once(uint64_t deadline)
{
    struct epoll_event events[EVENTS_A_TURN];
    int i, n;

    n = epoll_wait(epoll_fd, events, EVENTS_A_TURN, timeout_until(deadline));
    if (n < 0 && errno != EINTR)
        abort();
    for (i = 0; i < n; i++) {
        struct kh_source *source = events[i].data.ptr;

        if (source->fd >= 0 && source->events)
            source->ready(source, events[i].events);
    }
}

uint64_t
kh_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
