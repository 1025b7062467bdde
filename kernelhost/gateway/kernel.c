#include "kernelhost/gateway/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"
#include "protocol/jupyter/reply.h"
#include "protocol/link/init.h"

static void
on_flush(void *arg)
{
    struct kh_kernel *kernel = arg;

    kh_coalesce_flush(&kernel->coalesce, kh_loop_now(kernel->gateway->loop));
}

static void
on_reap(void *arg)
{
    kh_kernel_free(arg);
}

struct kh_kernel *
kh_kernel_new(struct kh_gateway *gateway, struct kh_sandbox *sandbox, uint32_t number,
              const char *id, const char *language, const struct kh_kernel_owner *owner)
{
    struct kh_kernel *kernel = kh_xcalloc(1, sizeof(*kernel));

    kernel->gateway = gateway;
    kernel->sandbox = sandbox;
    kernel->number = number;
    if (owner) {
        kernel->owner = *owner;
        kernel->owned = true;
    }
    snprintf(kernel->language, sizeof(kernel->language), "%s", language);
    kernel->life = KH_LIFE_STOPPED;
    kernel->oom_kills = kh_sandbox_record(sandbox)->usage.oom_kills;
    kernel->requests = kh_requests_new();
    kernel->reap = kh_timer_new(gateway->loop, on_reap, kernel);
    kernel->flush = kh_timer_new(gateway->loop, on_flush, kernel);
    kh_origin_init(&kernel->origin, "kernel");
    kernel->origin.count = gateway->last_number;
    kh_coalesce_init(&kernel->coalesce, kh_emit_stream, kernel);
    kh_kernel_settle_init(kernel);
    kh_kernel_recover(kernel, id);
    kh_kernel_touch(kernel);
    return kernel;
}

void
kh_kernel_free(struct kh_kernel *kernel)
{
    if (!kernel)
        return;
    kh_broker_forget(kernel->gateway->broker, kernel);
    while (kernel->sinks) {
        struct kh_sink *sink = kernel->sinks;

        kh_kernel_unlisten(kernel, sink);
        sink->gone(sink);
    }
    kh_sandbox_forget(kernel->sandbox, kernel);
    kh_sandbox_drop_kernel(kernel->sandbox, kernel);
    if (kernel->owned && !kernel->gateway->leaving)
        kernel->owner.gone(kernel->owner.arg);
    kh_kernel_unbind(kernel);
    kh_timer_close(kernel->reap);
    kh_timer_close(kernel->flush);
    kh_kernel_settle_release(kernel);
    kh_kernel_recover_release(kernel);
    kh_coalesce_release(&kernel->coalesce);
    kh_requests_free(kernel->requests);
    kh_buf_release(&kernel->info);
    kh_buf_release(&kernel->held);
    free(kernel);
}

void
kh_kernel_touch(struct kh_kernel *kernel)
{
    clock_gettime(CLOCK_REALTIME, &kernel->last_activity);
}

/* Answers every request, or only those that init was given: the others wait here
 * for the next interpreter. */
void
kh_kernel_lose_requests(struct kh_kernel *kernel, bool all, const char *ename,
                        const char *why)
{
    struct kh_request *request = kh_requests_first(kernel->requests), *next;

    for (; request; request = next) {
        next = request->next;
        if (all || request->sent)
            kh_answer_lost(kernel, request, ename, why);
    }
    if (all)
        kh_buf_release(&kernel->held);
}

static void
command(struct kh_kernel *kernel, enum kh_init_type type)
{
    struct kh_frame frame = {.type = type, .kernel = kernel->number};

    kh_sandbox_send_urgent(kernel->sandbox, &frame, NULL);
}

void
kh_kernel_attach(struct kh_kernel *kernel)
{
    struct kh_frame frame = {
        .type = KH_INIT_ATTACH, .kernel = kernel->number, .seq = kernel->seq};

    kernel->attached = true;
    kernel->unacked = 0;
    kh_sandbox_send_urgent(kernel->sandbox, &frame, NULL);
}

/* What waited here goes to init, in order. */
void
kh_kernel_release_held(struct kh_kernel *kernel)
{
    struct kh_frame frame;
    struct kh_buf held = kernel->held;
    long n;

    kernel->held = KH_BUF_INIT;
    while ((n = kh_frame_decode(kh_buf_ptr(&held), kh_buf_len(&held), &frame, NULL)) >
           0) {
        struct kh_request *request = kh_requests_find(kernel->requests, frame.id);
        struct kh_error err;

        if (request && kh_sandbox_send(kernel->sandbox, &frame, &err) < 0)
            kh_answer_lost(kernel, request, "KernelUnavailable", err.text);
        else if (request)
            request->sent = true;
        kh_buf_consume(&held, (size_t)n);
    }
    kh_buf_release(&held);
}

void
kh_kernel_order(struct kh_kernel *kernel, enum kh_init_type type)
{
    struct kh_frame frame = {.type = type, .kernel = kernel->number};

    if (type == KH_INIT_KERNEL_START) {
        frame.count = 3;
        frame.slice[0] = kh_slice_text(kernel->language);
        frame.slice[1] = kh_slice_text("");
        frame.slice[2] = kh_slice_text("");
    }
    kh_sandbox_send_urgent(kernel->sandbox, &frame, NULL);
    if (type == KH_INIT_KERNEL_START)
        kh_kernel_attach(kernel);
    kh_kernel_release_held(kernel);
}

/* Whether a runner has joined or none could: init takes what it finds. */
static void
on_joined(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_kernel *kernel = arg;
    enum kh_init_type type = kernel->ordered;

    (void)reply;
    (void)fd;
    kernel->ordered = 0;
    if (kernel->life == KH_LIFE_STARTING || kernel->life == KH_LIFE_RESTARTING)
        kh_kernel_order(kernel, type);
}

/* A start or a restart, once a warm runner waits in init for it. */
static void
order(struct kh_kernel *kernel, enum kh_init_type type)
{
    if (kernel->ordered || kh_kernel_recover_waits(kernel))
        return; /* what was asked for first starts it as well; or recover.c does */
    if (strcmp(kernel->language, "python") != 0 ||
        kh_sandbox_take_joined(kernel->sandbox)) {
        kh_kernel_order(kernel, type);
        return;
    }
    kernel->ordered = type;
    kh_broker_call_name(kernel->gateway->broker, KH_BROKER_JOIN,
                        kh_sandbox_name(kernel->sandbox), on_joined, kernel);
}

static void
do_spawn(struct kh_kernel *kernel)
{
    kernel->seq = kernel->acked = 0;
    kernel->fresh = kernel->starts = true;
    kh_kernel_note_spawn(kernel);
    order(kernel, KH_INIT_KERNEL_START);
}

static void
on_up(void *arg, const struct kh_error *err)
{
    struct kh_kernel *kernel = arg;

    /* A success comes to the kernel by kh_kernel_up. */
    if (err)
        kh_kernel_step(kernel, KH_LIFE_EV_DOWN, err->text);
    else
        kh_kernel_step(kernel, KH_LIFE_EV_UP, NULL);
}

static void
wake(struct kh_kernel *kernel)
{
    kh_sandbox_up(kernel->sandbox, on_up, kernel);
}

/* A new interpreter speaks from now on: another session, so that clients drop
 * what is queued from the earlier one. */
static void
announce(struct kh_kernel *kernel)
{
    kh_coalesce_end(&kernel->coalesce, kh_loop_now(kernel->gateway->loop));
    kh_origin_init(&kernel->origin, "kernel");
    kernel->origin.count = kernel->gateway->last_number;
    kh_buf_release(&kernel->info);
    kernel->running = 0;
    kernel->execution_count = 0;
    kh_kernel_note_begin(kernel);
    kh_tell_state(kernel, NULL, "starting");
}

static void
greet(struct kh_kernel *kernel)
{
    struct kh_error err;

    kernel->warm = false;
    if (kernel->channels && kh_channels_beat(kernel->channels, &err) < 0)
        kh_log(KH_LOG_WARN, "heartbeat is not bound again kernel=%s why=%s", kernel->id,
               err.text);
    kh_tell_state(kernel, NULL, "idle");
}

static void
lose(struct kh_kernel *kernel, const char *why)
{
    char line[KH_DEATH_TEXT_MAX];

    kernel->attached = false;
    kh_buf_release(&kernel->info);
    kh_coalesce_end(&kernel->coalesce, kh_loop_now(kernel->gateway->loop));
    if (kernel->running) {
        snprintf(line, sizeof(line), "\n%.300s\n", why);
        kh_tell_stderr(kernel, kernel->last_request, line);
    }
    kh_kernel_lose_requests(kernel, true, "KernelDied", why);
    if (kernel->owned && !kernel->back)
        kernel->owner.died(kernel->owner.arg, KH_STATUS_UNKNOWN);
}

static void
end_later(struct kh_kernel *kernel)
{
    kh_kernel_lose_requests(kernel, true, "KernelShutdown", "the kernel was shut down");
    kh_timer_start(kernel->reap, 0, 0);
}

/* What the actions of the table are; HOLD, SEND and REFUSE are kh_kernel_take's. */
void
kh_kernel_step(struct kh_kernel *kernel, enum kh_life_event event, const char *why)
{
    struct kh_life_step step = kh_life_step(kernel->life, event);

    kernel->life = step.next;
    switch (step.action) {
    case KH_LIFE_HOLD_UP:
    case KH_LIFE_WAKE:
        wake(kernel);
        break;
    case KH_LIFE_SPAWN:
        do_spawn(kernel);
        break;
    case KH_LIFE_RESPAWN:
        order(kernel, KH_INIT_KERNEL_RESTART);
        break;
    case KH_LIFE_ANNOUNCE:
        announce(kernel);
        break;
    case KH_LIFE_GREET:
        greet(kernel);
        break;
    case KH_LIFE_INQUIRE:
        kh_kernel_inquire(kernel);
        break;
    case KH_LIFE_JUDGE:
        kh_kernel_judge(kernel);
        break;
    case KH_LIFE_LOSE:
        lose(kernel, why);
        break;
    case KH_LIFE_HALT:
        command(kernel, KH_INIT_KERNEL_STOP);
        break;
    case KH_LIFE_FREE:
        end_later(kernel);
        break;
    case KH_LIFE_NOTHING:
    case KH_LIFE_SEND:
    case KH_LIFE_HOLD:
    case KH_LIFE_REFUSE:
        break;
    }
}

void
kh_kernel_start(struct kh_kernel *kernel)
{
    if (kernel->life == KH_LIFE_STOPPED)
        kh_kernel_step(kernel, KH_LIFE_EV_RESTART, NULL);
}

void
kh_kernel_restart(struct kh_kernel *kernel)
{
    kernel->warm = false;
    if (kernel->life == KH_LIFE_DYING)
        kernel->restart_asked = true;
    kh_kernel_step(kernel, KH_LIFE_EV_RESTART, NULL);
}

void
kh_kernel_stop(struct kh_kernel *kernel)
{
    kernel->note->ending = 1;
    kh_kernel_step(kernel, KH_LIFE_EV_STOP, NULL);
}

void
kh_kernel_interrupt(struct kh_kernel *kernel)
{
    command(kernel, KH_INIT_INTERRUPT);
}

void
kh_kernel_detached(struct kh_kernel *kernel)
{
    kernel->attached = false;
}

void
kh_kernel_down(struct kh_kernel *kernel, const char *why)
{
    kernel->attached = false;
    kh_kernel_step(kernel, KH_LIFE_EV_DOWN, why);
}

/* An earlier gateway started it and left no notes, or it was rolled back. What it said
 * to requests that nobody here knows is of no use to anybody. */
static void
adopt(struct kh_kernel *kernel, const struct kh_kernel_held *held)
{
    bool ready = held->state == KH_KERNEL_READY, back = kernel->back;

    kernel->back = kernel->fresh = kernel->starts = false;
    kh_kernel_note_spawn(kernel);
    kernel->seq = ready || back ? held->last : held->first ? held->first - 1 : 0;
    kernel->acked = 0;
    kh_kernel_attach(kernel);
    if (back && kh_kernel_is_back_dead(kernel, held))
        return;
    kh_kernel_step(kernel, KH_LIFE_EV_STARTED, NULL);
    if (ready) {
        kernel->note->life[0].ready = kernel->seq;
        kernel->note->settled = kernel->note->published =
            kh_position(kernel->seq + 1, 0);
        kh_reply_kernel_info(&kernel->info, kernel->language);
        kh_kernel_step(kernel, KH_LIFE_EV_READY, NULL);
    }
    if (held->state != KH_KERNEL_DEAD)
        kh_kernel_release_held(kernel);
}

/* The link broke, and what was sent on it last may not have got there. init ignores
 * what it has: the order stays, for what waited here came later. */
static void
send_again(struct kh_kernel *kernel, uint64_t accepted)
{
    struct kh_request *request = kh_requests_first(kernel->requests);

    for (; request; request = request->next) {
        struct kh_frame frame;

        if (request->sent && request->id > accepted &&
            kh_frame_decode(kh_buf_ptr(&request->frame), kh_buf_len(&request->frame),
                            &frame, NULL) > 0)
            kh_sandbox_send_urgent(kernel->sandbox, &frame, NULL);
    }
}

void
kh_kernel_up(struct kh_kernel *kernel, const struct kh_kernel_held *held)
{
    bool asked = kh_buf_len(&kernel->held) || kernel->life == KH_LIFE_RESTARTING ||
                 kernel->life == KH_LIFE_WAKING;
    bool idle;

    if (kernel->recovery.known && kh_kernel_recover_up(kernel, held))
        return;
    idle = kernel->life == KH_LIFE_STOPPED || kernel->life == KH_LIFE_WAKING;
    if (held && idle) {
        adopt(kernel, held);
    } else if (held) {
        kh_kernel_attach(kernel);
        send_again(kernel, held->accepted);
        kh_kernel_release_held(kernel);
    } else if (!kernel->attached) {
        if (!idle)
            kh_kernel_step(kernel, KH_LIFE_EV_DOWN, "the kernel is gone");
        kh_kernel_step(kernel, KH_LIFE_EV_UP, NULL);
        if (idle && asked) /* an earlier gateway's order did not get there */
            kh_kernel_start(kernel);
    }
}
