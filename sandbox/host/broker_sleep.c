/* What the gateway may ask of sleep. A sandbox that is on its way is waited for. */
#include <errno.h>
#include <stdlib.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/broker_own.h"
#include "sandbox/host/hibernate.h"
#include "sandbox/host/wake.h"

int
kh_broker_serve_freeze(struct kh_broker *broker, const struct kh_broker_request *q,
                       struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);
    int r = box ? kh_box_freeze(box, true, &reply->error) : -ENOENT;

    (void)ret_pass;
    if (r == 0)
        kh_broker_describe(broker, box, reply);
    return r;
}

static void
finish(struct kh_broker_waiting *w, const struct kh_error *failed)
{
    struct kh_broker_reply reply = {.magic = KH_BROKER_MAGIC,
                                    .type = w->type,
                                    .serial = w->serial,
                                    .error = *failed};
    AUTO_FD int pass = -1;

    if (w->generation == w->broker->generation && w->broker->sock >= 0) {
        if (!failed->code && w->type != KH_BROKER_HIBERNATE)
            kh_broker_pass_stream(w->box, &pass);
        if (!failed->code || w->type != KH_BROKER_CREATE)
            kh_broker_describe(w->broker, w->box, &reply);
        if (w->type == KH_BROKER_CREATE)
            reply.flags = KH_SNAPSHOT_MEMORY;
        /* A socket that fails is seen by the loop. */
        (void)kh_broker_answer(w->broker, &reply, pass, NULL);
    }
    free(w);
}

static void
moved(void *owner, const struct kh_error *failed)
{
    struct kh_broker_waiting *w = owner;

    kh_log(KH_LOG_INFO, "sandbox %s name=%s pid=%d",
           failed->code                     ? "did not move"
           : w->flags & KH_HIBERNATE_KEEP   ? "saved"
           : w->type == KH_BROKER_HIBERNATE ? "hibernated"
                                            : "woken",
           w->box->record.name, (int)w->box->process.pid);
    finish(w, failed);
}

static void go_on(struct kh_box_waiter *waiter);

/* Begins what W is for, waits until that can be, or has it already. */
static int
pursue(struct kh_broker_waiting *w, struct kh_error *err)
{
    static const struct kh_error none;
    struct kh_box *box = w->box;
    bool down = w->type == KH_BROKER_HIBERNATE;
    int r = 0;

    switch (box->phase) {
    case KH_BOX_SAVING:
    case KH_BOX_WAKING:
        w->waiter.settled = go_on;
        kh_box_wait(box, &w->waiter);
        return 0;
    case KH_BOX_HIBERNATED:
        if (!down)
            return kh_wake_begin(box, moved, w, err);
        break;
    case KH_BOX_RUNNING:
        if (down)
            return kh_hibernate_begin(box, w->flags, moved, w, err);
        r = kh_box_freeze(box, false, err);
        break;
    default:
        return kh_fail(err, ENOTCONN,
                       "sandbox '%s' is not running (hint: kernelhost start %s)",
                       box->record.name, box->record.name);
    }
    if (r == 0)
        finish(w, &none);
    return r;
}

static void
go_on(struct kh_box_waiter *waiter)
{
    struct kh_broker_waiting *w =
        (struct kh_broker_waiting *)((char *)waiter -
                                     offsetof(struct kh_broker_waiting, waiter));
    struct kh_error err = {0};

    if (pursue(w, &err) < 0)
        finish(w, &err);
}

static int
begin(struct kh_broker *broker, const struct kh_broker_request *q, struct kh_box *box,
      struct kh_error *err)
{
    struct kh_broker_waiting *w = kh_xcalloc(1, sizeof(*w));
    int r;

    *w = (struct kh_broker_waiting){.broker = broker,
                                    .box = box,
                                    .generation = broker->generation,
                                    .serial = q->serial,
                                    .type = q->type};
    if (q->type == KH_BROKER_HIBERNATE)
        w->flags = (unsigned)q->arg;
    r = pursue(w, err);
    if (r < 0)
        free(w);
    return r < 0 ? r : KH_BROKER_LATER;
}

int
kh_broker_copy(struct kh_broker *broker, const struct kh_broker_request *q,
               struct kh_record *wish, const struct kh_snapshot *snapshot,
               struct kh_error *err)
{
    struct kh_broker_waiting *w = kh_xcalloc(1, sizeof(*w));
    int r = kh_broker_take_over(snapshot, wish, err);

    *w = (struct kh_broker_waiting){.broker = broker,
                                    .generation = broker->generation,
                                    .serial = q->serial,
                                    .type = q->type};
    if (r == 0)
        r = kh_box_copy(broker->host, wish, snapshot, moved, w, &w->box, err);
    if (r < 0)
        free(w);
    return r < 0 ? r : KH_BROKER_LATER;
}

int
kh_broker_serve_hibernate(struct kh_broker *broker, const struct kh_broker_request *q,
                          struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);

    (void)ret_pass;
    return box ? begin(broker, q, box, &reply->error) : -ENOENT;
}

/* Who is frozen has a link to the gateway that asks, or will get one. */
int
kh_broker_serve_wake(struct kh_broker *broker, const struct kh_broker_request *q,
                     struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);
    int r;

    (void)ret_pass;
    if (!box)
        return -ENOENT;
    if (box->phase != KH_BOX_RUNNING)
        return begin(broker, q, box, &reply->error);
    r = kh_box_freeze(box, false, &reply->error);
    if (r == 0)
        kh_broker_describe(broker, box, reply);
    return r;
}

int
kh_broker_serve_ladder(struct kh_broker *broker, const struct kh_broker_request *q,
                       struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);
    struct kh_ladder before;
    int r;

    (void)ret_pass;
    if (!box)
        return -ENOENT;
    before = box->record.ladder;
    if (q->ladder.freeze)
        box->record.ladder.freeze = q->ladder.freeze;
    if (q->ladder.hibernate)
        box->record.ladder.hibernate = q->ladder.hibernate;
    r = kh_store_save(&broker->host->store, &box->record, &reply->error);
    if (r < 0)
        box->record.ladder = before;
    else
        kh_broker_describe(broker, box, reply);
    return r;
}
