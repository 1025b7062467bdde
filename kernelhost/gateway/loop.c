#include "kernelhost/gateway/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>
#include <zmq.h>

#include "base/clean.h"
#include "base/mem.h"

/* Messages taken from one ZeroMQ socket before the others have their turn. */
#define ZWATCH_BUDGET 64

struct kh_loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* runs the dirty ZeroMQ watches before each poll */
    uv_idle_t idle;       /* keeps poll from blocking while some are dirty */
    struct kh_zwatch *dirty;
    void *part;
    void (*end_part)(void *part);
};

struct kh_timer {
    uv_timer_t uv;
    void (*fn)(void *arg);
    void *arg;
};

struct kh_watch {
    uv_poll_t uv;
    void (*fn)(void *arg, unsigned events);
    void *arg;
};

struct kh_zwatch {
    uv_poll_t uv;
    struct kh_loop *loop;
    void *socket;
    void (*fn)(void *arg);
    void *arg;
    struct kh_zwatch *next_dirty;
    bool is_dirty;
    bool paused;
    bool closed;
};

struct kh_signal {
    uv_signal_t uv;
    void (*fn)(void *arg);
    void *arg;
};

/* All handle structs begin with their libuv handle. */
static void
free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void
mark_dirty(struct kh_zwatch *watch)
{
    struct kh_loop *loop = watch->loop;

    if (watch->is_dirty || watch->closed)
        return;
    watch->is_dirty = true;
    watch->next_dirty = loop->dirty;
    loop->dirty = watch;
}

static bool
can_receive(struct kh_zwatch *watch)
{
    int events = 0;
    size_t size = sizeof(events);

    if (zmq_getsockopt(watch->socket, ZMQ_EVENTS, &events, &size) < 0)
        return false;
    return events & ZMQ_POLLIN;
}

static void
drain(struct kh_zwatch *watch)
{
    int i;

    for (i = 0; i < ZWATCH_BUDGET; i++) {
        if (watch->closed || watch->paused || !can_receive(watch))
            return;
        watch->fn(watch->arg);
    }
    mark_dirty(watch);
}

static void
on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void
on_prepare(uv_prepare_t *prepare)
{
    struct kh_loop *loop = prepare->data;
    struct kh_zwatch *list = STEAL_PTR(loop->dirty);

    while (list) {
        struct kh_zwatch *watch = list;

        list = watch->next_dirty;
        watch->is_dirty = false;
        drain(watch);
    }
    if (loop->dirty)
        uv_idle_start(&loop->idle, on_idle);
    else
        uv_idle_stop(&loop->idle);
}

struct kh_loop *
kh_loop_new(void)
{
    struct kh_loop *loop = kh_xcalloc(1, sizeof(*loop));

    if (uv_loop_init(&loop->uv) < 0)
        abort();
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_idle_init(&loop->uv, &loop->idle);
    loop->prepare.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    return loop;
}

void
kh_loop_run(struct kh_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void
kh_loop_stop(struct kh_loop *loop)
{
    uv_stop(&loop->uv);
}

void
kh_loop_free(struct kh_loop *loop)
{
    int r;

    if (!loop)
        return;
    if (loop->part)
        loop->end_part(loop->part);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    r = uv_loop_close(&loop->uv);
    assert(r == 0);
    (void)r;
    free(loop);
}

void *
kh_loop_part(const struct kh_loop *loop)
{
    return loop->part;
}

void
kh_loop_set_part(struct kh_loop *loop, void *part, void (*end)(void *part))
{
    loop->part = part;
    loop->end_part = end;
}

uint64_t
kh_loop_now(struct kh_loop *loop)
{
    return uv_now(&loop->uv);
}

struct kh_timer *
kh_timer_new(struct kh_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct kh_timer *timer = kh_xcalloc(1, sizeof(*timer));

    uv_timer_init(&loop->uv, &timer->uv);
    timer->fn = fn;
    timer->arg = arg;
    return timer;
}

static void
on_timer(uv_timer_t *uv)
{
    struct kh_timer *timer = (struct kh_timer *)uv;

    timer->fn(timer->arg);
}

void
kh_timer_start(struct kh_timer *timer, uint64_t delay_ms, uint64_t repeat_ms)
{
    uv_timer_start(&timer->uv, on_timer, delay_ms, repeat_ms);
}

void
kh_timer_stop(struct kh_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

bool
kh_timer_active(const struct kh_timer *timer)
{
    return uv_is_active((const uv_handle_t *)&timer->uv);
}

void
kh_timer_close(struct kh_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, free_handle);
}

struct kh_watch *
kh_watch_new(struct kh_loop *loop, int fd, void (*fn)(void *arg, unsigned events),
             void *arg, struct kh_error *err)
{
    struct kh_watch *watch = kh_xcalloc(1, sizeof(*watch));
    int r = uv_poll_init(&loop->uv, &watch->uv, fd);

    if (r < 0) {
        free(watch);
        kh_fail(err, -r, "cannot watch descriptor %d: %s", fd, uv_strerror(r));
        return NULL;
    }
    watch->fn = fn;
    watch->arg = arg;
    return watch;
}

static void
on_watch(uv_poll_t *uv, int status, int events)
{
    struct kh_watch *watch = (struct kh_watch *)uv;
    unsigned seen = 0;

    /* An error is reported as everything, so that the owner's next read or
     * write meets it. */
    if (status < 0)
        seen = KH_WATCH_READ | KH_WATCH_WRITE | KH_WATCH_HANGUP;
    if (events & UV_READABLE)
        seen |= KH_WATCH_READ;
    if (events & UV_WRITABLE)
        seen |= KH_WATCH_WRITE;
    if (events & UV_DISCONNECT)
        seen |= KH_WATCH_HANGUP;
    watch->fn(watch->arg, seen);
}

void
kh_watch_set(struct kh_watch *watch, unsigned events)
{
    int wanted = 0;

    if (events & KH_WATCH_READ)
        wanted |= UV_READABLE;
    if (events & KH_WATCH_WRITE)
        wanted |= UV_WRITABLE;
    if (events & KH_WATCH_HANGUP)
        wanted |= UV_DISCONNECT;
    if (wanted)
        uv_poll_start(&watch->uv, wanted, on_watch);
    else
        uv_poll_stop(&watch->uv);
}

void
kh_watch_close(struct kh_watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->uv, free_handle);
}

static void
on_zmq_fd(uv_poll_t *uv, int status, int events)
{
    (void)status;
    (void)events;
    drain((struct kh_zwatch *)uv);
}

struct kh_zwatch *
kh_zwatch_new(struct kh_loop *loop, void *socket, void (*fn)(void *arg), void *arg,
              struct kh_error *err)
{
    struct kh_zwatch *watch;
    size_t size = sizeof(int);
    int fd = -1, r;

    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) < 0) {
        kh_fail_errno(err, "cannot watch a ZeroMQ socket");
        return NULL;
    }
    watch = kh_xcalloc(1, sizeof(*watch));
    r = uv_poll_init(&loop->uv, &watch->uv, fd);
    if (r < 0) {
        free(watch);
        kh_fail(err, -r, "cannot watch a ZeroMQ socket: %s", uv_strerror(r));
        return NULL;
    }
    watch->loop = loop;
    watch->socket = socket;
    watch->fn = fn;
    watch->arg = arg;
    uv_poll_start(&watch->uv, UV_READABLE, on_zmq_fd);
    mark_dirty(watch);
    return watch;
}

void
kh_zwatch_kick(struct kh_zwatch *watch)
{
    mark_dirty(watch);
}

void
kh_zwatch_pause(struct kh_zwatch *watch, bool paused)
{
    if (watch->paused == paused)
        return;
    watch->paused = paused;
    /* The signaller may stay readable while nobody takes the messages: a
     * level-triggered poll on it would spin. */
    if (paused) {
        uv_poll_stop(&watch->uv);
    } else {
        uv_poll_start(&watch->uv, UV_READABLE, on_zmq_fd);
        mark_dirty(watch);
    }
}

static void
undirty(struct kh_zwatch *watch)
{
    struct kh_zwatch **at;

    for (at = &watch->loop->dirty; *at; at = &(*at)->next_dirty)
        if (*at == watch) {
            *at = watch->next_dirty;
            break;
        }
}

void
kh_zwatch_close(struct kh_zwatch *watch)
{
    if (!watch)
        return;
    undirty(watch);
    watch->closed = true;
    uv_close((uv_handle_t *)&watch->uv, free_handle);
}

static void
on_signal(uv_signal_t *uv, int signum)
{
    struct kh_signal *signal = (struct kh_signal *)uv;

    (void)signum;
    signal->fn(signal->arg);
}

struct kh_signal *
kh_signal_new(struct kh_loop *loop, int signum, void (*fn)(void *arg), void *arg)
{
    struct kh_signal *signal = kh_xcalloc(1, sizeof(*signal));

    uv_signal_init(&loop->uv, &signal->uv);
    signal->fn = fn;
    signal->arg = arg;
    uv_signal_start(&signal->uv, on_signal, signum);
    return signal;
}

void
kh_signal_close(struct kh_signal *signal)
{
    if (signal)
        uv_close((uv_handle_t *)&signal->uv, free_handle);
}
