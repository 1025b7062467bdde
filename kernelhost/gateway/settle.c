/* settle: telling init what it need not keep any more.
 *
 * An entry is acknowledged when everything it led to is out: written to the
 * connection of every subscriber, of whoever waited for the reply, and to the
 * clients of the HTTP API. What libzmq only has in its queues is lost when this
 * process is killed, and init gives it to the next one. So acknowledging lags; who
 * does not read at all is not waited for (KH_PEERS_STALL_MS).
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/peers.h"
#include "protocol/link/init.h"

#define SETTLE_MS  50
#define SETTLE_NOW (1024u * 1024)    /* unacknowledged bytes that do not wait for it */
#define UNKNOWN_MS KH_PEERS_STALL_MS /* a reply by a connection that is not known */
#define DONE_KEPT  8 /* finished requests whose threads may print after a restart */

static uint64_t
now(const struct kh_kernel *kernel)
{
    return kh_loop_now(kernel->gateway->loop);
}

uint64_t
kh_kernel_position(struct kh_kernel *kernel)
{
    return kernel->in_entry ? kh_position(kernel->seq, ++kernel->part) : 0;
}

static struct kh_owed_reply *
reply_at(const struct kh_kernel *kernel, unsigned index)
{
    return &kernel->reply[(kernel->reply_first + index) & (kernel->reply_size - 1)];
}

static void
drop_reply(struct kh_kernel *kernel)
{
    kernel->reply_first++;
    kernel->reply_count--;
}

/* The ring grows to KH_REPLIES; then the oldest one is not looked after any more. */
static void
make_room(struct kh_kernel *kernel)
{
    unsigned size = kernel->reply_size ? 2 * kernel->reply_size : 4, i;
    struct kh_owed_reply *ring;

    if (kernel->reply_count < kernel->reply_size)
        return;
    if (kernel->reply_count == KH_REPLIES) {
        drop_reply(kernel);
        return;
    }
    ring = kh_xcalloc(size, sizeof(*ring));
    for (i = 0; i < kernel->reply_count; i++)
        ring[i] = *reply_at(kernel, i);
    free(kernel->reply);
    kernel->reply = ring;
    kernel->reply_size = size;
    kernel->reply_first = 0;
}

void
kh_kernel_replied(struct kh_kernel *kernel, const struct kh_asker *asker,
                  uint64_t position)
{
    struct kh_owed_reply *reply;

    if (!position)
        return;
    make_room(kernel);
    reply = reply_at(kernel, kernel->reply_count++);
    *reply = (struct kh_owed_reply){.position = position,
                                    .since = now(kernel),
                                    .to = asker->from,
                                    .channel = asker->channel};
}

static bool
is_out(const struct kh_kernel *kernel, const struct kh_owed_reply *reply)
{
    uint64_t age = now(kernel) - reply->since;

    if (!kernel->channels || age >= KH_PEERS_STALL_MS)
        return true;
    if (!reply->to.birth)
        return age >= UNKNOWN_MS;
    return kh_channels_answered(kernel->channels, reply->channel, &reply->to,
                                reply->position);
}

/* The position before the first reply that is not out. */
static uint64_t
replied_to(struct kh_kernel *kernel)
{
    while (kernel->reply_count) {
        const struct kh_owed_reply *reply = reply_at(kernel, 0);

        if (!is_out(kernel, reply))
            return reply->position - 1;
        drop_reply(kernel);
    }
    return KH_POSITION_END;
}

/* The position up to which all is out; KH_POSITION_END when everything is. */
static uint64_t
settled_to(struct kh_kernel *kernel)
{
    uint64_t least = replied_to(kernel), one;
    struct kh_sink *sink;

    if (kernel->channels) {
        one = kh_channels_written(kernel->channels);
        least = one < least ? one : least;
    }
    for (sink = kernel->sinks; sink; sink = sink->next) {
        one = sink->written ? sink->written(sink) : KH_POSITION_END;
        least = one < least ? one : least;
    }
    if (kh_coalesce_waits(&kernel->coalesce) && kernel->coalesce.said < least)
        least = kernel->coalesce.said;
    if (kernel->owed && kh_position(kernel->owed, 0) < least)
        least = kh_position(kernel->owed, 0);
    return least;
}

static void
erase_done(struct kh_kernel *kernel, uint64_t settled)
{
    size_t i = 0, kept;

    while (i + DONE_KEPT < kernel->done_count && kernel->done[i]->done < settled)
        kh_ledger_erase(kernel->gateway->ledger, kernel->done[i++]);
    if (!i)
        return;
    kept = kernel->done_count - i;
    memmove(kernel->done, kernel->done + i, kept * sizeof(*kernel->done));
    kernel->done_count = kept;
}

/* Acknowledges what can be. */
static void
settle(struct kh_kernel *kernel)
{
    uint64_t to = settled_to(kernel);
    struct kh_frame frame = {.type = KH_INIT_ACK, .kernel = kernel->number};

    if (to == KH_POSITION_END)
        to = kh_position(kernel->seq + 1, 0);
    if (to > kernel->note->settled)
        kernel->note->settled = to;
    erase_done(kernel, kernel->note->settled);
    if (kh_position_seq(to) <= kernel->acked + 1)
        return;
    frame.seq = kh_position_seq(to) - 1;
    if (kh_sandbox_send_urgent(kernel->sandbox, &frame, NULL) < 0)
        return;
    kernel->acked = frame.seq;
    kernel->unacked = 0;
}

static bool
may_settle(const struct kh_kernel *kernel)
{
    return kernel->attached && !kernel->holds && !kernel->crowded &&
           kernel->acked != kernel->seq;
}

static void
on_settle(void *arg)
{
    struct kh_kernel *kernel = arg;

    if (!may_settle(kernel))
        return;
    settle(kernel);
    if (kernel->acked != kernel->seq)
        kh_timer_start(kernel->settle, SETTLE_MS, 0);
}

void
kh_kernel_batch(struct kh_kernel *kernel)
{
    long due;

    due = kh_coalesce_due(&kernel->coalesce, now(kernel));
    if (due >= 0)
        kh_timer_start(kernel->flush, (uint64_t)due, 0);
    if (!may_settle(kernel))
        return;
    if (kernel->unacked >= SETTLE_NOW)
        settle(kernel);
    if (kernel->acked != kernel->seq && !kh_timer_active(kernel->settle))
        kh_timer_start(kernel->settle, SETTLE_MS, 0);
}

void
kh_kernel_pace(struct kh_kernel *kernel)
{
    if (kernel->crowded && kernel->channels &&
        kh_channels_waiting(kernel->channels) < KH_CHANNELS_LOW)
        kernel->crowded = false;
    kh_kernel_batch(kernel);
}

/* Between entries nothing would tell again that it is over. */
void
kh_kernel_finish(struct kh_kernel *kernel, struct kh_request *request)
{
    struct kh_ledger_request *note = request->note;

    kh_requests_finish(kernel->requests, request);
    if (!note)
        return;
    if (!kernel->in_entry) {
        kh_ledger_erase(kernel->gateway->ledger, note);
        return;
    }
    note->done = kh_position(kernel->seq, 1);
    kh_kernel_keep_done(kernel, note);
}

void
kh_kernel_keep_done(struct kh_kernel *kernel, struct kh_ledger_request *note)
{
    if (kernel->done_count == kernel->done_size) {
        kernel->done_size = kernel->done_size ? 2 * kernel->done_size : 32;
        kernel->done =
            kh_xrealloc(kernel->done, kernel->done_size * sizeof(*kernel->done));
    }
    kernel->done[kernel->done_count++] = note;
}

void
kh_kernel_forget_done(struct kh_kernel *kernel)
{
    while (kernel->done_count)
        kh_ledger_erase(kernel->gateway->ledger, kernel->done[--kernel->done_count]);
}

void
kh_kernel_settle_init(struct kh_kernel *kernel)
{
    kernel->settle = kh_timer_new(kernel->gateway->loop, on_settle, kernel);
}

void
kh_kernel_settle_release(struct kh_kernel *kernel)
{
    kh_timer_close(kernel->settle);
    free(kernel->done);
    free(kernel->reply);
}
