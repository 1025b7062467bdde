#include "kernelhost/gateway/broker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"

struct call {
    struct call *next;
    struct kh_broker_request request;
    kh_broker_fn *fn; /* NULL: forgotten */
    void *arg;
};

struct kh_broker {
    struct kh_loop *loop;
    struct kh_watch *watch;
    struct kh_timer *later; /* reports a closed link outside of callers */
    struct kh_broker_events events;
    struct kh_error why;
    struct call *unsent, **unsent_tail;
    struct call *sent;
    unsigned pending;
    uint64_t serial;
    int fd;
};

/* From here on nothing is sent or received; the owner hears of it next turn. */
static void
shut(struct kh_broker *broker)
{
    if (broker->fd < 0)
        return;
    kh_watch_close(STEAL_PTR(broker->watch));
    kh_fd_close(&broker->fd);
    kh_timer_start(broker->later, 0, 0);
}

static void
on_later(void *arg)
{
    struct kh_broker *broker = arg;

    broker->events.closed(broker->events.arg, &broker->why);
}

static void
flush(struct kh_broker *broker)
{
    while (broker->unsent && broker->fd >= 0) {
        struct call *call = broker->unsent;
        int r = kh_fd_send(broker->fd, &call->request, sizeof(call->request), -1);

        if (r == -EAGAIN)
            break;
        if (r < 0) {
            kh_fail(&broker->why, -r, "cannot write to kernelhostd: %s", strerror(-r));
            shut(broker);
            return;
        }
        broker->unsent = call->next;
        if (!broker->unsent)
            broker->unsent_tail = &broker->unsent;
        call->next = broker->sent;
        broker->sent = call;
    }
    if (broker->fd >= 0)
        kh_watch_set(broker->watch,
                     KH_WATCH_READ | (broker->unsent ? KH_WATCH_WRITE : 0));
}

static struct call *
take_sent(struct kh_broker *broker, uint64_t serial)
{
    struct call **at;

    for (at = &broker->sent; *at; at = &(*at)->next)
        if ((*at)->request.serial == serial) {
            struct call *call = *at;

            *at = call->next;
            return call;
        }
    return NULL;
}

static int
check(struct kh_broker_reply *reply, ssize_t size, struct kh_error *err)
{
    if (size != (ssize_t)sizeof(*reply) || reply->magic != KH_BROKER_MAGIC)
        return kh_fail(err, EBADMSG, "message from kernelhostd is malformed");
    reply->error.text[sizeof(reply->error.text) - 1] = '\0';
    reply->name[sizeof(reply->name) - 1] = '\0';
    reply->image[sizeof(reply->image) - 1] = '\0';
    reply->other[sizeof(reply->other) - 1] = '\0';
    if (reply->serial == 0 && reply->type != KH_BROKER_EXITED)
        return kh_fail(err, EBADMSG, "message from kernelhostd has type %u",
                       reply->type);
    return 0;
}

static int
dispatch(struct kh_broker *broker, struct kh_broker_reply *reply, int *fd,
         struct kh_error *err)
{
    struct call *call;

    if (reply->serial == 0) {
        broker->events.exited(broker->events.arg, reply);
        return 0;
    }
    call = take_sent(broker, reply->serial);
    if (!call)
        return kh_fail(err, EBADMSG, "kernelhostd answers a request never made");
    broker->pending--;
    if (call->fn)
        call->fn(call->arg, reply, fd);
    free(call);
    return 0;
}

static void
on_event(void *arg, unsigned events)
{
    struct kh_broker *broker = arg;
    struct kh_broker_reply reply;
    int budget = 64;

    if (events & KH_WATCH_WRITE)
        flush(broker);
    while (broker->fd >= 0 && budget-- > 0) {
        int fd = -1;
        ssize_t n = kh_fd_recv(broker->fd, &reply, sizeof(reply), &fd);
        AUTO_FD int passed = fd;

        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            kh_fail(&broker->why, n ? (int)-n : EPIPE, "kernelhostd is gone");
            shut(broker);
            return;
        }
        if (check(&reply, n, &broker->why) < 0 ||
            dispatch(broker, &reply, &passed, &broker->why) < 0) {
            shut(broker);
            return;
        }
    }
}

static void
on_hello(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_broker *broker = arg;

    (void)fd;
    if (!reply->error.code)
        return;
    broker->why = reply->error;
    shut(broker);
}

struct kh_broker *
kh_broker_new(struct kh_loop *loop, int fd, const struct kh_broker_events *events,
              struct kh_error *err)
{
    AUTO_FD int owned = fd;
    struct kh_broker_request hello = {.type = KH_BROKER_HELLO,
                                      .arg = KH_BROKER_VERSION};
    struct kh_broker *broker;
    struct kh_watch *watch;
    int r = kh_fd_nonblock(fd, true);

    if (r < 0) {
        kh_fail(err, -r, "descriptor %d is no link to kernelhostd: %s", fd,
                strerror(-r));
        return NULL;
    }
    kh_fd_cloexec(fd, true);
    broker = kh_xcalloc(1, sizeof(*broker));
    watch = kh_watch_new(loop, fd, on_event, broker, err);
    if (!watch) {
        free(broker);
        return NULL;
    }
    broker->loop = loop;
    broker->watch = watch;
    broker->later = kh_timer_new(loop, on_later, broker);
    broker->events = *events;
    broker->fd = STEAL_FD(owned);
    broker->unsent_tail = &broker->unsent;
    kh_broker_call(broker, &hello, on_hello, broker);
    return broker;
}

/* The answer to what can never be asked any more. */
static void
refuse(kh_broker_fn *fn, void *arg)
{
    struct kh_broker_reply reply = {0};
    int none = -1;

    kh_fail(&reply.error, ENOTCONN, "kernelhostd cannot be reached");
    if (fn)
        fn(arg, &reply, &none);
}

static void
refuse_all(struct call **list)
{
    while (*list) {
        struct call *call = *list;

        *list = call->next;
        refuse(call->fn, call->arg);
        free(call);
    }
}

void
kh_broker_free(struct kh_broker *broker)
{
    if (!broker)
        return;
    kh_watch_close(broker->watch);
    kh_timer_close(broker->later);
    kh_fd_close(&broker->fd);
    free(broker);
}

void
kh_broker_close(struct kh_broker *broker)
{
    kh_watch_close(STEAL_PTR(broker->watch));
    kh_fd_close(&broker->fd);
    refuse_all(&broker->sent);
    refuse_all(&broker->unsent);
}

void
kh_broker_call(struct kh_broker *broker, const struct kh_broker_request *request,
               kh_broker_fn *fn, void *arg)
{
    struct call *call;

    if (broker->fd < 0) {
        refuse(fn, arg);
        return;
    }
    if (broker->pending >= KH_BROKER_PENDING_MAX) {
        kh_fail(&broker->why, EOVERFLOW, "%u requests to kernelhostd have no answer",
                broker->pending);
        shut(broker);
        refuse(fn, arg);
        return;
    }
    call = kh_xcalloc(1, sizeof(*call));
    call->request = *request;
    call->request.magic = KH_BROKER_MAGIC;
    call->request.serial = ++broker->serial;
    call->fn = fn;
    call->arg = arg;
    *broker->unsent_tail = call;
    broker->unsent_tail = &call->next;
    broker->pending++;
    flush(broker);
}

void
kh_broker_call_name(struct kh_broker *broker, enum kh_broker_type type,
                    const char *name, kh_broker_fn *fn, void *arg)
{
    struct kh_broker_request request = {.type = type};

    snprintf(request.name, sizeof(request.name), "%s", name);
    kh_broker_call(broker, &request, fn, arg);
}

void
kh_broker_forget(struct kh_broker *broker, const void *arg)
{
    struct call *call;

    for (call = broker->sent; call; call = call->next)
        if (call->arg == arg)
            call->fn = NULL;
    for (call = broker->unsent; call; call = call->next)
        if (call->arg == arg)
            call->fn = NULL;
}
