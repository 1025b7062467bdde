/* What the gateway may ask of a sandbox that shall be what it was. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sandbox/host/broker_own.h"
#include "sandbox/host/rollback.h"

static void
done(void *owner)
{
    struct kh_broker_waiting *w = owner;
    struct kh_broker_reply reply = {
        .magic = KH_BROKER_MAGIC, .type = w->type, .serial = w->serial};

    if (w->generation == w->broker->generation && w->broker->sock >= 0) {
        kh_broker_describe(w->broker, w->box, &reply);
        /* A socket that fails is seen by the loop. */
        (void)kh_broker_answer(w->broker, &reply, -1, NULL);
    }
    free(w);
}

int
kh_broker_serve_rollback(struct kh_broker *broker, const struct kh_broker_request *q,
                         struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);
    const struct kh_snapshot *snapshot =
        box ? kh_broker_find_snapshot(broker, q, &reply->error) : NULL;
    struct kh_broker_waiting *w;
    int r;

    (void)ret_pass;
    if (!snapshot)
        return -ENOENT;
    w = kh_xcalloc(1, sizeof(*w));
    *w = (struct kh_broker_waiting){.broker = broker,
                                    .box = box,
                                    .generation = broker->generation,
                                    .serial = q->serial,
                                    .type = q->type};
    r = kh_rollback_begin(box, snapshot, done, w, &reply->error);
    if (r < 0)
        free(w);
    return r < 0 ? r : KH_BROKER_LATER;
}
