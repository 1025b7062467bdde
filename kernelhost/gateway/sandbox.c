#include "kernelhost/gateway/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/exec.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/link.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/quota.h"
#include "kernelhost/gateway/room.h"
#include "kernelhost/gateway/sandbox_own.h"
#include "protocol/link/init.h"

#define CONNECT_TRIES   60
#define CONNECT_WAIT_MS 50

/* The sandbox does not run, or cannot be reached: tell everybody inside. */
static void
lose_all(struct kh_sandbox *sandbox, const char *why)
{
    struct kh_kernel *kernel, *next;

    kh_link_free(STEAL_PTR(sandbox->link));
    kh_timer_stop(sandbox->timer);
    sandbox->unwelcomed = false;
    kh_buf_release(&sandbox->doze.frames);
    while (sandbox->execs)
        kh_exec_lost(sandbox->execs, why);
    for (kernel = sandbox->kernels; kernel; kernel = next) {
        next = kh_kernel_next(kernel);
        if (sandbox->phase == KH_PHASE_HIBERNATED)
            kh_kernel_sleeps_on(kernel, why);
        else
            kh_kernel_down(kernel, why);
    }
}

void
kh_sandbox_fail(struct kh_sandbox *sandbox, enum kh_sandbox_phase phase,
                const struct kh_error *why)
{
    struct kh_error copy = *why;

    sandbox->phase = phase;
    kh_log(KH_LOG_WARN, "sandbox cannot be reached name=%s why=%s",
           sandbox->record.name, copy.text);
    lose_all(sandbox, copy.text);
    kh_sandbox_answer(&sandbox->ups, &copy);
    kh_sandbox_answer(&sandbox->sleeps, &copy);
}

static int
on_frame(void *arg, const struct kh_frame *frame, struct kh_error *err)
{
    return kh_sandbox_frame(arg, frame, err);
}

static void
on_batch(void *arg)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_kernel *kernel;

    for (kernel = sandbox->kernels; kernel; kernel = kh_kernel_next(kernel))
        kh_kernel_batch(kernel);
}

/* The peer may close for good reasons (it is being stopped, a newer link came);
 * everything else that ends a link is its fault. */
static void
on_link_closed(void *arg, const struct kh_error *why)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_kernel *kernel;
    struct kh_error copy = *why;

    kh_link_free(STEAL_PTR(sandbox->link));
    sandbox->unwelcomed = false;
    if (sandbox->phase == KH_PHASE_PARTING) {
        kh_timer_stop(sandbox->timer);
        for (kernel = sandbox->kernels; kernel; kernel = kh_kernel_next(kernel))
            kh_kernel_detached(kernel);
        kh_doze_parted(sandbox);
        return;
    }
    if (sandbox->phase != KH_PHASE_GREETING && sandbox->phase != KH_PHASE_UP)
        return;
    if (copy.code == EPIPE || copy.code == ECONNRESET) {
        for (kernel = sandbox->kernels; kernel; kernel = kh_kernel_next(kernel))
            kh_kernel_detached(kernel);
        /* Most often its PID 1 has ended, and kernelhostd is about to say so. */
        sandbox->tries = 0;
        sandbox->phase = KH_PHASE_CONNECTING;
        kh_timer_start(sandbox->timer, CONNECT_WAIT_MS, 0);
        return;
    }
    kh_fail_in(&copy, "sandbox '%s' is broken", sandbox->record.name);
    copy.code = EBUSY; /* what its init did wrong is nobody's fault here */
    kh_sandbox_fail(sandbox, KH_PHASE_BROKEN, &copy);
}

/* Makes the link of the stream *FD and says HELLO. */
int
kh_sandbox_hail(struct kh_sandbox *sandbox, int *fd, struct kh_error *err)
{
    struct kh_link_events events = {
        .frame = on_frame, .batch = on_batch, .closed = on_link_closed, .arg = sandbox};
    struct kh_frame hello = {.type = KH_INIT_HELLO, .id = KH_INIT_VERSION};

    sandbox->link = kh_link_new(sandbox->gateway->loop, STEAL_FD(*fd), &events, err);
    if (!sandbox->link)
        return -err->code;
    sandbox->phase = KH_PHASE_GREETING;
    kh_timer_start(sandbox->timer, KH_WELCOME_MS, 0);
    kh_link_send(sandbox->link, &hello, NULL);
    kh_doze_send_kept(sandbox);
    if (sandbox->record.state == KH_SANDBOX_FROZEN)
        kh_doze_touch(sandbox); /* frozen, it would not answer */
    return 0;
}

static void
on_connected(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_error err = reply->error;

    if (sandbox->phase != KH_PHASE_CONNECTING)
        return;
    if ((err.code == EAGAIN || err.code == ECONNREFUSED || err.code == ENOENT) &&
        ++sandbox->tries < CONNECT_TRIES) {
        kh_timer_start(sandbox->timer, CONNECT_WAIT_MS, 0);
        return;
    }
    if (!err.code && *fd < 0)
        kh_fail(&err, EPROTO, "kernelhostd passed no connection");
    if (err.code || kh_sandbox_hail(sandbox, fd, &err) < 0) {
        kh_fail_in(&err, "cannot connect to sandbox '%s'", sandbox->record.name);
        kh_sandbox_fail(sandbox, KH_PHASE_AWAY, &err);
    }
}

void
kh_sandbox_link_to(struct kh_sandbox *sandbox)
{
    sandbox->tries = 0;
    sandbox->doze.roused = false;
    sandbox->phase = KH_PHASE_CONNECTING;
    kh_broker_call_name(sandbox->gateway->broker, KH_BROKER_CONNECT,
                        sandbox->record.name, on_connected, sandbox);
}

static void
on_timer(void *arg)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_error err;

    if (sandbox->phase == KH_PHASE_CONNECTING) {
        kh_broker_call_name(sandbox->gateway->broker, KH_BROKER_CONNECT,
                            sandbox->record.name, on_connected, sandbox);
    } else if ((sandbox->phase == KH_PHASE_GREETING ||
                sandbox->phase == KH_PHASE_PARTING) &&
               !sandbox->doze.roused) {
        /* It may stand still for a reason that we have not heard of. */
        sandbox->doze.roused = true;
        kh_broker_call_name(sandbox->gateway->broker, KH_BROKER_WAKE,
                            sandbox->record.name, NULL, NULL);
        kh_timer_start(sandbox->timer, KH_WELCOME_MS, 0);
    } else if (sandbox->phase == KH_PHASE_GREETING ||
               sandbox->phase == KH_PHASE_PARTING || sandbox->unwelcomed) {
        kh_fail(&err, EBUSY, "sandbox '%s' is broken: its init does not answer",
                sandbox->record.name);
        kh_sandbox_fail(sandbox, KH_PHASE_BROKEN, &err);
    }
}

static void
come_up(struct kh_sandbox *sandbox)
{
    struct kh_kernel *kernel;

    sandbox->phase = KH_PHASE_UP;
    sandbox->doze.roused = false;
    kh_doze_touch(sandbox);
    for (kernel = sandbox->kernels; kernel; kernel = kh_kernel_next(kernel))
        kh_kernel_up(kernel, NULL);
    free(STEAL_PTR(sandbox->returning));
    kh_sandbox_answer(&sandbox->ups, NULL);
}

void
kh_sandbox_welcomed(struct kh_sandbox *sandbox)
{
    kh_timer_stop(sandbox->timer);
    if (sandbox->unwelcomed)
        sandbox->unwelcomed = false;
    else
        come_up(sandbox);
}

void
kh_sandbox_greet(struct kh_sandbox *sandbox, int *fd)
{
    struct kh_error err;

    if (*fd < 0 ||
        (sandbox->phase != KH_PHASE_AWAY && sandbox->phase != KH_PHASE_STARTING))
        return;
    if (kh_sandbox_hail(sandbox, fd, &err) < 0) {
        kh_log(KH_LOG_WARN, "the stream to a new sandbox is no use name=%s why=%s",
               sandbox->record.name, err.text);
        return;
    }
    sandbox->unwelcomed = true;
    come_up(sandbox);
}

void
kh_sandbox_meet(struct kh_sandbox *sandbox, int *fd, kh_sandbox_fn *fn, void *arg)
{
    struct kh_error err;

    if (*fd >= 0 && sandbox->phase == KH_PHASE_AWAY)
        (void)kh_sandbox_hail(sandbox, fd, &err);
    kh_sandbox_up(sandbox, fn, arg);
}

static void
on_started(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_error err = reply->error;

    kh_quota_done(sandbox->gateway, &sandbox->more);
    memset(&sandbox->more, 0, sizeof(sandbox->more));
    if (sandbox->phase != KH_PHASE_STARTING)
        return;
    if (err.code) {
        kh_sandbox_fail(sandbox, KH_PHASE_STOPPED, &err);
        return;
    }
    kh_sandbox_refresh(sandbox, reply);
    kh_sandbox_note_joined(sandbox, reply);
    kh_sandbox_greet(sandbox, fd);
    if (sandbox->phase == KH_PHASE_STARTING)
        kh_sandbox_link_to(sandbox);
}

static void
start(struct kh_sandbox *sandbox)
{
    struct kh_broker_request request = {.type = KH_BROKER_START, .arg = KH_BROKER_WARM};

    memcpy(request.name, sandbox->record.name, sizeof(request.name));
    kh_broker_call(sandbox->gateway->broker, &request, on_started, sandbox);
}

void
kh_sandbox_up(struct kh_sandbox *sandbox, kh_sandbox_fn *fn, void *arg)
{
    struct kh_error err;

    switch (sandbox->phase) {
    case KH_PHASE_UP:
        kh_doze_touch(sandbox);
        fn(arg, NULL);
        return;
    case KH_PHASE_HIBERNATED:
        kh_sandbox_wait_for(&sandbox->ups, fn, arg);
        kh_doze_wake(sandbox);
        return;
    case KH_PHASE_STOPPING:
        kh_fail(&err, EBUSY, "sandbox '%s' is being stopped", sandbox->record.name);
        fn(arg, &err);
        return;
    case KH_PHASE_BROKEN:
        kh_fail(&err, EBUSY,
                "sandbox '%s' is broken (hint: kernelhost stop %s, then start it)",
                sandbox->record.name, sandbox->record.name);
        fn(arg, &err);
        return;
    case KH_PHASE_STOPPED:
        sandbox->more = kh_quota_start(&sandbox->record);
        if (kh_room_need(1, &err) < 0 ||
            kh_quota_take(sandbox->gateway, &sandbox->more, &err) < 0) {
            memset(&sandbox->more, 0, sizeof(sandbox->more));
            fn(arg, &err);
            return;
        }
        sandbox->phase = KH_PHASE_STARTING;
        kh_sandbox_wait_for(&sandbox->ups, fn, arg);
        start(sandbox);
        return;
    case KH_PHASE_AWAY:
        kh_sandbox_wait_for(&sandbox->ups, fn, arg);
        kh_sandbox_link_to(sandbox);
        return;
    default: /* it is on its way, or asleep by then and woken again */
        kh_sandbox_wait_for(&sandbox->ups, fn, arg);
    }
}

static void
on_stopped(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_error err = reply->error;

    (void)fd;
    if (err.code) {
        sandbox->phase = KH_PHASE_AWAY;
        kh_sandbox_answer(&sandbox->stops, &err);
        return;
    }
    sandbox->phase = KH_PHASE_STOPPED;
    kh_sandbox_refresh(sandbox, reply);
    sandbox->record.state = KH_SANDBOX_STOPPED;
    lose_all(sandbox, "the sandbox was stopped");
    kh_sandbox_answer(&sandbox->stops, NULL);
}

void
kh_sandbox_stop(struct kh_sandbox *sandbox, kh_sandbox_fn *fn, void *arg)
{
    struct kh_error err;

    if (sandbox->phase == KH_PHASE_STOPPED) {
        fn(arg, NULL);
        return;
    }
    if (sandbox->phase == KH_PHASE_RETURNING) {
        kh_fail(&err, EBUSY, "sandbox '%s' is being rolled back (hint: try again)",
                sandbox->record.name);
        fn(arg, &err);
        return;
    }
    kh_sandbox_wait_for(&sandbox->stops, fn, arg);
    if (sandbox->phase == KH_PHASE_STOPPING)
        return;
    kh_fail(&err, EBUSY, "sandbox '%s' is being stopped", sandbox->record.name);
    sandbox->phase = KH_PHASE_STOPPING;
    kh_sandbox_answer(&sandbox->ups, &err);
    kh_sandbox_answer(&sandbox->sleeps, &err);
    kh_broker_call_name(sandbox->gateway->broker, KH_BROKER_STOP, sandbox->record.name,
                        on_stopped, sandbox);
}

void
kh_sandbox_exited(struct kh_sandbox *sandbox, const struct kh_broker_reply *reply)
{
    struct kh_error err;

    sandbox->record.usage = reply->usage;
    if (sandbox->phase == KH_PHASE_STOPPING || sandbox->phase == KH_PHASE_STOPPED ||
        sandbox->phase == KH_PHASE_STARTING)
        return;
    sandbox->record.state = KH_SANDBOX_STOPPED;
    sandbox->record.init_pid = 0;
    kh_fail(&err, ECANCELED, "the sandbox ended%s",
            reply->usage.oom_kills ? " (its memory limit was reached)" : "");
    kh_sandbox_fail(sandbox, KH_PHASE_STOPPED, &err);
}

void
kh_sandbox_removing(struct kh_sandbox *sandbox, bool removing)
{
    struct kh_error err;

    if (!removing) { /* it did not go: whatever runs is connected when wanted */
        sandbox->phase = KH_PHASE_AWAY;
        return;
    }
    kh_fail(&err, EBUSY, "sandbox '%s' is being removed", sandbox->record.name);
    sandbox->phase = KH_PHASE_STOPPING;
    lose_all(sandbox, err.text);
    kh_sandbox_answer(&sandbox->ups, &err);
    kh_sandbox_answer(&sandbox->sleeps, &err);
}

struct kh_sandbox *
kh_sandbox_new(struct kh_gateway *gateway, const struct kh_broker_reply *record)
{
    struct kh_sandbox *sandbox = kh_xcalloc(1, sizeof(*sandbox));

    sandbox->gateway = gateway;
    sandbox->record = *record;
    sandbox->phase = kh_sandbox_phase_of(record);
    kh_doze_init(sandbox);
    sandbox->timer = kh_timer_new(gateway->loop, on_timer, sandbox);
    return sandbox;
}

void
kh_sandbox_free(struct kh_sandbox *sandbox)
{
    struct kh_error err;

    if (!sandbox)
        return;
    kh_fail(&err, ENOENT, "the sandbox was removed");
    sandbox->phase = KH_PHASE_BROKEN;
    kh_quota_done(sandbox->gateway, &sandbox->more);
    kh_broker_forget(sandbox->gateway->broker, sandbox);
    if (!sandbox->gateway->leaving)
        lose_all(sandbox, err.text);
    kh_link_free(STEAL_PTR(sandbox->link));
    kh_sandbox_answer(&sandbox->ups, &err);
    kh_sandbox_answer(&sandbox->stops, &err);
    kh_sandbox_answer(&sandbox->sleeps, &err);
    kh_sandbox_return_ends(sandbox);
    kh_doze_release(sandbox);
    free(sandbox->returning);
    while (sandbox->kernels)
        kh_kernel_free(sandbox->kernels);
    kh_timer_close(sandbox->timer);
    free(sandbox);
}
