/* What the gateway may ask for: a handler a request, and their table. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/broker_own.h"
#include "sandbox/host/image.h"
#include "sandbox/host/join.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/snapshot.h"

static uint32_t
state_of(const struct kh_box *box)
{
    switch (box->phase) {
    case KH_BOX_SAVING:
        return KH_SANDBOX_FROZEN;
    case KH_BOX_WAKING:
    case KH_BOX_HIBERNATED:
        return KH_SANDBOX_HIBERNATED;
    default:
        return box->frozen ? KH_SANDBOX_FROZEN : box->record.state;
    }
}

void
kh_broker_describe(struct kh_broker *broker, struct kh_box *box,
                   struct kh_broker_reply *reply)
{
    const struct kh_record *record = &box->record;

    memcpy(reply->id, record->id, sizeof(reply->id));
    memcpy(reply->name, record->name, sizeof(reply->name));
    memcpy(reply->image, record->image, sizeof(reply->image));
    reply->state = state_of(box);
    reply->created = record->created;
    reply->started = record->started;
    reply->limits = record->limits;
    reply->ladder = record->ladder;
    reply->boot = box->birth.boot;
    memcpy(reply->place, record->place, sizeof(reply->place));
    reply->saved = box->saved;
    reply->usage = box->last_usage;
    if (box->phase == KH_BOX_RUNNING || box->phase == KH_BOX_SAVING)
        reply->init_pid = box->process.pid;
    if (box->phase == KH_BOX_SAVING)
        kh_cgroup_usage(broker->host->groups, box->id, &reply->usage);
    kh_metering_read(broker->host, box,
                     box->phase == KH_BOX_RUNNING ? &reply->usage : NULL);
    reply->account = box->meter.sum;
}

/* The gateway's next step would be CONNECT; it takes it if this gives none. */
void
kh_broker_pass_stream(struct kh_box *box, int *ret_pass)
{
    struct kh_error err = {0};
    int stream = kh_box_connect(box, &err);

    if (stream < 0)
        kh_log(KH_LOG_WARN, "%s", err.text);
    else
        *ret_pass = stream;
}

struct kh_box *
kh_broker_find(struct kh_broker *broker, const struct kh_broker_request *q,
               struct kh_error *err)
{
    struct kh_box *box = kh_box_find(broker->host, q->name);

    if (box && (box->spare || box->fresh))
        box = NULL;
    if (!box)
        kh_fail(err, ENOENT, "there is no sandbox '%s' (hint: kernelhost create %s)",
                q->name, q->name);
    return box;
}

static int
serve_hello(struct kh_broker *broker, const struct kh_broker_request *q,
            struct kh_broker_reply *reply, int *ret_pass)
{
    (void)ret_pass;
    if (q->arg != KH_BROKER_VERSION)
        return kh_fail(&reply->error, EPROTO,
                       "gateway speaks broker version %llu, kernelhostd %d (hint: "
                       "install both from one build)",
                       (unsigned long long)q->arg, KH_BROKER_VERSION);
    broker->phase = KH_BROKER_READY;
    reply->arg = KH_BROKER_VERSION;
    return 0;
}

static void
joined(void *owner, const struct kh_error *failed)
{
    struct kh_broker_waiting *w = owner;
    struct kh_broker *broker = w->broker;
    struct kh_broker_reply reply = {
        .magic = KH_BROKER_MAGIC, .type = w->type, .serial = w->serial};
    AUTO_FD int pass = -1;
    struct kh_error err = {0};

    if (w->generation == broker->generation && broker->sock >= 0) {
        if (w->type == KH_BROKER_JOIN)
            reply.error = *failed;
        else
            kh_broker_pass_stream(w->box, &pass);
        reply.arg = failed->code ? 0 : KH_BROKER_WARM;
        kh_broker_describe(broker, w->box, &reply);
        /* A socket that fails is seen by the loop. */
        (void)kh_broker_answer(broker, &reply, pass, &err);
    }
    free(w);
}

static int
join(struct kh_broker *broker, const struct kh_broker_request *q, struct kh_box *box,
     struct kh_error *err)
{
    struct kh_broker_waiting *w = kh_xcalloc(1, sizeof(*w));
    int r;

    *w =
        (struct kh_broker_waiting){broker, box, broker->generation, q->serial, q->type};
    r = kh_join_begin(box, joined, w, err);
    if (r < 0)
        free(w);
    return r < 0 ? r : KH_BROKER_LATER;
}

static int
started(struct kh_broker *broker, const struct kh_broker_request *q, struct kh_box *box,
        struct kh_broker_reply *reply, int *ret_pass)
{
    if (box->warm)
        reply->arg = KH_BROKER_WARM;
    else if (q->arg & KH_BROKER_WARM && join(broker, q, box, NULL) == KH_BROKER_LATER)
        return KH_BROKER_LATER;
    box->warm = false;
    kh_broker_describe(broker, box, reply);
    kh_broker_pass_stream(box, ret_pass);
    return 0;
}

static int
serve_join(struct kh_broker *broker, const struct kh_broker_request *q,
           struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);

    (void)ret_pass;
    if (!box)
        return -ENOENT;
    if (box->phase != KH_BOX_RUNNING)
        return kh_fail(&reply->error, EAGAIN, "sandbox '%s' is not running", q->name);
    return join(broker, q, box, &reply->error);
}

static int
find_image(struct kh_broker *broker, const struct kh_broker_request *q,
           struct kh_record *record, struct kh_error *err)
{
    if (!kh_image_name_valid(q->image))
        return kh_fail(err, EINVAL,
                       "that is no image name (hint: kernelhost image ls)");
    memcpy(record->image, q->image, sizeof(record->image));
    return kh_image_find(&broker->host->store, q->image, record->image_id, err);
}

/* From an image, or from the disk of SNAPSHOT. */
static int
create(struct kh_broker *broker, const struct kh_broker_request *q,
       struct kh_record *wish, const struct kh_snapshot *snapshot,
       struct kh_box **ret_box, struct kh_error *err)
{
    int r = kh_image_hold(&broker->host->store, err);

    if (r < 0)
        return r;
    r = snapshot ? kh_broker_take_over(snapshot, wish, err)
                 : find_image(broker, q, wish, err);
    if (r >= 0)
        r = kh_box_create(broker->host, wish, snapshot ? snapshot->id : NULL, ret_box,
                          err);
    kh_image_let_go(&broker->host->store);
    return r;
}

static int
serve_create(struct kh_broker *broker, const struct kh_broker_request *q,
             struct kh_broker_reply *reply, int *ret_pass)
{
    const struct kh_snapshot *snapshot = NULL;
    struct kh_record wish = {.limits = q->limits, .ladder = q->ladder};
    struct kh_box *box = NULL;
    int r;

    if (!kh_name_valid(q->name))
        return kh_fail(&reply->error, EINVAL, "a sandbox name has " KH_NAME_RULE);
    memcpy(wish.name, q->name, sizeof(wish.name));
    if (*q->other) {
        snapshot = kh_broker_find_snapshot(broker, q, &reply->error);
        if (!snapshot)
            return -ENOENT;
        if (snapshot->record.flags & KH_SNAPSHOT_MEMORY)
            return kh_broker_copy(broker, q, &wish, snapshot, &reply->error);
    }
    r = create(broker, q, &wish, snapshot, &box, &reply->error);
    if (r < 0)
        return r;
    kh_log(KH_LOG_INFO, "sandbox created name=%s id=%s pid=%d", q->name, box->id,
           (int)box->process.pid);
    return started(broker, q, box, reply, ret_pass);
}

static int
serve_start(struct kh_broker *broker, const struct kh_broker_request *q,
            struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);
    int r;

    if (box && (box->frozen || kh_box_sleeps(box)))
        return kh_broker_serve_wake(broker, q, reply, ret_pass);
    r = box ? kh_box_start(broker->host, box, &reply->error) : -ENOENT;

    if (r < 0)
        return r;
    kh_log(KH_LOG_INFO, "sandbox started name=%s pid=%d", q->name,
           (int)box->process.pid);
    return started(broker, q, box, reply, ret_pass);
}

/* The answer may come before the call that begins it has returned. */
static int
serve_end(struct kh_broker *broker, const struct kh_broker_request *q,
          struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);
    int r;

    (void)ret_pass;
    if (!box)
        return -ENOENT;
    if (box->waiter)
        return kh_fail(&reply->error, EBUSY,
                       "sandbox '%s' is being stopped (hint: try again)", q->name);
    box->waiter = q->serial;
    box->waiter_type = q->type;
    r = kh_box_stop(broker->host, box, q->type == KH_BROKER_REMOVE, &reply->error);
    if (r < 0) {
        box->waiter = 0;
        return r;
    }
    return KH_BROKER_LATER;
}

static int
serve_connect(struct kh_broker *broker, const struct kh_broker_request *q,
              struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);
    int r;

    if (box && kh_box_sleeps(box))
        return kh_broker_serve_wake(broker, q, reply, ret_pass);
    r = box ? kh_box_connect(box, &reply->error) : -ENOENT;
    if (r < 0)
        return r;
    *ret_pass = r;
    kh_broker_describe(broker, box, reply);
    return 0;
}

static int
serve_stat(struct kh_broker *broker, const struct kh_broker_request *q,
           struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);

    (void)ret_pass;
    if (!box)
        return -ENOENT;
    kh_broker_describe(broker, box, reply);
    if (box->phase == KH_BOX_RUNNING && !box->frozen)
        reply->usage.io = kh_cgroup_io(broker->host->groups, box->id);
    return 0;
}

static int
serve_list(struct kh_broker *broker, const struct kh_broker_request *q,
           struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_boxes_after(&broker->host->boxes, q->arg);

    (void)ret_pass;
    /* Without a record, one that is being removed is no sandbox any more. */
    while (box && (kh_box_is_going(box) || box->spare || box->fresh))
        box = kh_boxes_after(&broker->host->boxes, box->number);
    if (!box)
        return kh_fail(&reply->error, ENOENT, "there are no more sandboxes");
    kh_broker_describe(broker, box, reply);
    reply->arg = box->number;
    return 0;
}

static int
serve_images(struct kh_broker *broker, const struct kh_broker_request *q,
             struct kh_broker_reply *reply, int *ret_pass)
{
    int r = kh_image_at(&broker->host->store, q->arg, reply->image, &reply->error);

    (void)ret_pass;
    reply->arg = q->arg + 1;
    return r;
}

const struct kh_broker_row kh_broker_table[] = {
    {KH_BROKER_HELLO, KH_BROKER_NEW, serve_hello},
    {KH_BROKER_CREATE, KH_BROKER_READY, serve_create},
    {KH_BROKER_START, KH_BROKER_READY, serve_start},
    {KH_BROKER_STOP, KH_BROKER_READY, serve_end},
    {KH_BROKER_REMOVE, KH_BROKER_READY, serve_end},
    {KH_BROKER_CONNECT, KH_BROKER_READY, serve_connect},
    {KH_BROKER_STAT, KH_BROKER_READY, serve_stat},
    {KH_BROKER_LIST, KH_BROKER_READY, serve_list},
    {KH_BROKER_IMAGES, KH_BROKER_READY, serve_images},
    {KH_BROKER_JOIN, KH_BROKER_READY, serve_join},
    {KH_BROKER_FREEZE, KH_BROKER_READY, kh_broker_serve_freeze},
    {KH_BROKER_WAKE, KH_BROKER_READY, kh_broker_serve_wake},
    {KH_BROKER_HIBERNATE, KH_BROKER_READY, kh_broker_serve_hibernate},
    {KH_BROKER_LADDER, KH_BROKER_READY, kh_broker_serve_ladder},
    {KH_BROKER_ROLLBACK, KH_BROKER_READY, kh_broker_serve_rollback},
    {KH_BROKER_SNAPSHOT, KH_BROKER_READY, kh_broker_snapshot},
    {KH_BROKER_SNAPSHOTS, KH_BROKER_READY, kh_broker_snapshots},
    {KH_BROKER_SNAPSHOT_REMOVE, KH_BROKER_READY, kh_broker_snapshot_remove},
    {KH_BROKER_SNAPSHOT_ADOPT, KH_BROKER_READY, kh_broker_snapshot_adopt},
    {KH_BROKER_LIMIT, KH_BROKER_READY, kh_broker_serve_limit},
    {KH_BROKER_ENDED, KH_BROKER_READY, kh_broker_serve_ended},
    {KH_BROKER_SETTLED, KH_BROKER_READY, kh_broker_serve_settled},
    {0},
};
