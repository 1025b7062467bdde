#include "kernelhost/gateway/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"

#define READ_SIZE (256 * 1024)

/* What one read brings. All links are in one thread and most are idle: bytes are kept
 * with a link only while they are no whole frame. */
static char arrived[READ_SIZE];

struct kh_link {
    struct kh_watch *watch;
    struct kh_timer *later;
    struct kh_link_events events;
    struct kh_error why;
    struct kh_buf in;
    struct kh_buf out;
    int fd;
    bool dispatching;
    bool doomed; /* freed by the owner while it handled a frame */
};

static void
shut(struct kh_link *link)
{
    if (link->fd < 0)
        return;
    kh_watch_close(STEAL_PTR(link->watch));
    kh_fd_close(&link->fd);
    kh_buf_release(&link->out);
    if (!link->doomed)
        kh_timer_start(link->later, 0, 0);
}

static void
on_later(void *arg)
{
    struct kh_link *link = arg;

    link->events.closed(link->events.arg, &link->why);
}

static void
flush(struct kh_link *link)
{
    while (link->fd >= 0 && kh_buf_len(&link->out)) {
        ssize_t n = send(link->fd, kh_buf_ptr(&link->out), kh_buf_len(&link->out),
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            kh_fail_errno(&link->why, "cannot write to the sandbox");
            shut(link);
            return;
        }
        kh_buf_consume(&link->out, (size_t)n);
    }
    if (link->fd >= 0)
        kh_watch_set(link->watch,
                     KH_WATCH_READ | (kh_buf_len(&link->out) ? KH_WATCH_WRITE : 0));
}

/* Hands on every whole frame in SIZE bytes at DATA. Returns how many bytes those had,
 * or -errno in link->why. */
static ssize_t
dispatch(struct kh_link *link, const char *data, size_t size)
{
    struct kh_frame frame;
    size_t used = 0;

    while (link->fd >= 0 && !link->doomed) {
        long n = kh_frame_decode(data + used, size - used, &frame, &link->why);
        int r;

        if (n <= 0)
            return n < 0 ? (ssize_t)n : (ssize_t)used;
        r = link->events.frame(link->events.arg, &frame, &link->why);
        if (r < 0)
            return r;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

/* Behind the part of a frame that came earlier, or else where the rest is kept. */
static int
take(struct kh_link *link, size_t size)
{
    bool fresh = !kh_buf_len(&link->in);
    ssize_t used;

    if (!fresh)
        kh_buf_wrote(&link->in, size);
    used = fresh ? dispatch(link, arrived, size)
                 : dispatch(link, kh_buf_ptr(&link->in), kh_buf_len(&link->in));
    if (used < 0)
        return (int)used;
    if (fresh && !link->doomed)
        kh_buf_add(&link->in, arrived + used, size - (size_t)used);
    else if (!fresh)
        kh_buf_consume(&link->in, (size_t)used);
    return 0;
}

static int
receive(struct kh_link *link)
{
    ssize_t n;

    do
        n = recv(link->fd,
                 kh_buf_len(&link->in) ? kh_buf_reserve(&link->in, READ_SIZE) : arrived,
                 READ_SIZE, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return take(link, (size_t)n);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n < 0)
        return kh_fail_errno(&link->why, "cannot read from the sandbox");
    return kh_fail(&link->why, EPIPE, "the sandbox closed its connection");
}

static void
on_event(void *arg, unsigned events)
{
    struct kh_link *link = arg;

    if (events & KH_WATCH_WRITE)
        flush(link);
    if (link->fd < 0 || !(events & KH_WATCH_READ))
        return;
    link->dispatching = true;
    if (receive(link) < 0)
        shut(link);
    if (!link->doomed)
        link->events.batch(link->events.arg);
    link->dispatching = false;
    if (link->doomed)
        kh_link_free(link);
}

struct kh_link *
kh_link_new(struct kh_loop *loop, int fd, const struct kh_link_events *events,
            struct kh_error *err)
{
    AUTO_FD int owned = fd;
    struct kh_link *link;
    struct kh_watch *watch;
    int type = 0;
    socklen_t size = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) {
        kh_fail(err, ENOTSOCK, "the descriptor for a sandbox is no stream socket");
        return NULL;
    }
    kh_fd_nonblock(fd, true);
    link = kh_xcalloc(1, sizeof(*link));
    watch = kh_watch_new(loop, fd, on_event, link, err);
    if (!watch) {
        free(link);
        return NULL;
    }
    link->watch = watch;
    link->later = kh_timer_new(loop, on_later, link);
    link->events = *events;
    link->fd = STEAL_FD(owned);
    kh_watch_set(watch, KH_WATCH_READ);
    return link;
}

void
kh_link_free(struct kh_link *link)
{
    if (!link)
        return;
    link->doomed = true;
    shut(link);
    if (link->dispatching)
        return;
    kh_timer_close(link->later);
    kh_buf_release(&link->in);
    kh_buf_release(&link->out);
    free(link);
}

bool
kh_link_room(const struct kh_link *link, size_t size)
{
    return kh_buf_len(&link->out) + size <= KH_LINK_OUT_SOFT;
}

int
kh_link_send(struct kh_link *link, const struct kh_frame *frame, struct kh_error *err)
{
    int r;

    if (link->fd < 0)
        return kh_fail(err, EPIPE, "the connection to the sandbox is closed");
    if (kh_buf_len(&link->out) > KH_LINK_OUT_HARD) {
        kh_fail(&link->why, ENOBUFS, "the sandbox does not read its requests");
        shut(link);
        return kh_fail(err, EPIPE, "the sandbox does not read its requests");
    }
    r = kh_frame_encode(frame, &link->out, err);
    if (r < 0)
        return r;
    flush(link);
    return link->fd < 0 ? kh_fail(err, EPIPE, "the connection to the sandbox is lost")
                        : 0;
}
