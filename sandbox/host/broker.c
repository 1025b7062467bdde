#include "sandbox/host/broker_own.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"

/* Requests served before others have their turn: runners that join, above all, who
 * work on the other processor while sandboxes are made on this one. */
#define TURN 2

void
kh_broker_reset(struct kh_broker *broker, struct kh_host *host, int sock)
{
    size_t i;

    uint64_t generation = broker->generation + 1;

    kh_broker_release(broker);
    broker->generation = generation;
    broker->host = host;
    broker->sock = sock;
    broker->phase = KH_BROKER_NEW;
    /* Serials belong to the gateway that gave them. */
    for (i = 0; i < host->boxes.count; i++)
        host->boxes.at[i]->waiter = 0;
    kh_snapshots_end_temporary(&host->snapshots);
}

void
kh_broker_release(struct kh_broker *broker)
{
    free(broker->queue);
    *broker = (struct kh_broker){.sock = -1, .generation = broker->generation};
}

static int
enqueue(struct kh_broker *broker, const struct kh_broker_reply *reply,
        struct kh_error *err)
{
    if (broker->count == KH_BROKER_QUEUE_MAX)
        return kh_fail(err, ENOBUFS, "the gateway does not read its replies");
    if (broker->count == broker->size) {
        unsigned size = broker->size ? broker->size * 2 : 16, i;
        struct kh_broker_reply *bigger = kh_xcalloc(size, sizeof(*bigger));

        for (i = 0; i < broker->count; i++)
            bigger[i] = broker->queue[(broker->first + i) % broker->size];
        free(broker->queue);
        broker->queue = bigger;
        broker->size = size;
        broker->first = 0;
    }
    broker->queue[(broker->first + broker->count++) % broker->size] = *reply;
    return 0;
}

/* No descriptor waits in the queue: a reply that would have to is sent without, and
 * fails if the descriptor is what was asked for. */
int
kh_broker_answer(struct kh_broker *broker, const struct kh_broker_reply *reply,
                 int pass, struct kh_error *err)
{
    int r =
        broker->count ? -EAGAIN : kh_fd_send(broker->sock, reply, sizeof(*reply), pass);

    if (r != -EAGAIN)
        return r < 0 ? kh_fail(err, -r, "cannot answer the gateway") : 0;
    if (pass < 0 || reply->type != KH_BROKER_CONNECT)
        return enqueue(broker, reply, err);
    {
        struct kh_broker_reply failed = *reply;

        kh_fail(&failed.error, EAGAIN, "kernelhostd is busy (hint: try again)");
        return enqueue(broker, &failed, err);
    }
}

int
kh_broker_flush(struct kh_broker *broker, struct kh_error *err)
{
    while (broker->count) {
        const struct kh_broker_reply *reply = &broker->queue[broker->first];
        int r = kh_fd_send(broker->sock, reply, sizeof(*reply), -1);

        if (r == -EAGAIN)
            return 0;
        if (r < 0)
            return kh_fail(err, -r, "cannot answer the gateway");
        broker->first = (broker->first + 1) % broker->size;
        broker->count--;
    }
    return 0;
}

static int
serve_one(struct kh_broker *broker, const struct kh_broker_request *q,
          struct kh_error *err)
{
    struct kh_broker_reply reply = {
        .magic = KH_BROKER_MAGIC, .type = q->type, .serial = q->serial};
    size_t i;

    if (q->magic != KH_BROKER_MAGIC || !q->serial ||
        !memchr(q->name, 0, sizeof(q->name)) ||
        !memchr(q->image, 0, sizeof(q->image)) ||
        !memchr(q->other, 0, sizeof(q->other)) ||
        !memchr(q->label, 0, sizeof(q->label)))
        return kh_fail(err, EBADMSG, "malformed broker request");
    for (i = 0; kh_broker_table[i].serve; i++) {
        AUTO_FD int pass = -1;

        if (kh_broker_table[i].type != q->type ||
            !(kh_broker_table[i].phases & broker->phase))
            continue;
        if (kh_broker_table[i].serve(broker, q, &reply, &pass) == KH_BROKER_LATER)
            return 0;
        return kh_broker_answer(broker, &reply, pass, err);
    }
    return kh_fail(err, EBADMSG, "broker request %u is not allowed in phase %d",
                   q->type, broker->phase);
}

int
kh_broker_serve(struct kh_broker *broker, struct kh_error *err)
{
    int budget;

    for (budget = TURN; budget > 0; budget--) {
        struct kh_broker_request request;
        ssize_t n = kh_fd_recv(broker->sock, &request, sizeof(request), NULL);
        int r;

        if (n == -EAGAIN)
            return 0;
        if (n == 0)
            return kh_fail(err, EPIPE, "the gateway closed its socket");
        if (n != sizeof(request))
            return kh_fail(err, EBADMSG, "broker request of %zd bytes", n);
        r = serve_one(broker, &request, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int
kh_broker_box_done(struct kh_broker *broker, struct kh_box *box, int status,
                   const struct kh_error *failed, struct kh_error *err)
{
    struct kh_broker_reply reply = {
        .magic = KH_BROKER_MAGIC, .type = KH_BROKER_EXITED, .error = *failed};

    reply.arg = (uint64_t)(uint32_t)status;
    if (box->waiter) {
        reply.type = box->waiter_type;
        reply.serial = box->waiter;
        box->waiter = 0;
    }
    kh_broker_describe(broker, box, &reply);
    /* Nobody asked who is here now, and it was not told of it either. */
    if (broker->phase != KH_BROKER_READY || broker->sock < 0 ||
        (!reply.serial && kh_box_is_going(box)))
        return 0;
    return kh_broker_answer(broker, &reply, -1, err);
}
