#include "sandbox/host/broker.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/image.h"
#include "sandbox/host/join.h"

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
static int
answer(struct kh_broker *broker, const struct kh_broker_reply *reply, int pass,
       struct kh_error *err)
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

static void
describe(struct kh_broker *broker, const struct kh_box *box,
         struct kh_broker_reply *reply)
{
    const struct kh_record *record = &box->record;

    memcpy(reply->id, record->id, sizeof(reply->id));
    memcpy(reply->name, record->name, sizeof(reply->name));
    memcpy(reply->image, record->image, sizeof(reply->image));
    reply->state = record->state;
    reply->created = record->created;
    reply->started = record->started;
    reply->limits = record->limits;
    reply->usage = box->last_usage;
    if (box->phase == KH_BOX_RUNNING) {
        reply->init_pid = box->process.pid;
        kh_cgroup_usage(broker->host->groups, box->id, &reply->usage);
    }
}

/* The gateway's next step would be CONNECT; it takes it if this gives none. */
static void
pass_stream(struct kh_box *box, int *ret_pass)
{
    struct kh_error err = {0};
    int stream = kh_box_connect(box, &err);

    if (stream < 0)
        kh_log(KH_LOG_WARN, "%s", err.text);
    else
        *ret_pass = stream;
}

/* A handler fills the reply and returns 0, returns an error in reply->error, or
 * returns LATER: the answer comes from kh_broker_box_done. */
#define LATER 1

static struct kh_box *
find(struct kh_broker *broker, const struct kh_broker_request *q, struct kh_error *err)
{
    struct kh_box *box = kh_box_find(broker->host, q->name);

    if (box && box->spare)
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

/* A request that is answered when a runner has joined, or could not. */
struct waiting {
    struct kh_broker *broker;
    struct kh_box *box;
    uint64_t generation, serial;
    uint32_t type;
};

static void
joined(void *owner, const struct kh_error *failed)
{
    struct waiting *w = owner;
    struct kh_broker *broker = w->broker;
    struct kh_broker_reply reply = {
        .magic = KH_BROKER_MAGIC, .type = w->type, .serial = w->serial};
    AUTO_FD int pass = -1;
    struct kh_error err = {0};

    if (w->generation == broker->generation && broker->sock >= 0) {
        if (w->type == KH_BROKER_JOIN)
            reply.error = *failed;
        else
            pass_stream(w->box, &pass);
        reply.arg = failed->code ? 0 : KH_BROKER_WARM;
        describe(broker, w->box, &reply);
        /* A socket that fails is seen by the loop. */
        (void)answer(broker, &reply, pass, &err);
    }
    free(w);
}

static int
join(struct kh_broker *broker, const struct kh_broker_request *q, struct kh_box *box,
     struct kh_error *err)
{
    struct waiting *w = kh_xcalloc(1, sizeof(*w));
    int r;

    *w = (struct waiting){broker, box, broker->generation, q->serial, q->type};
    r = kh_join_begin(box, joined, w, err);
    if (r < 0)
        free(w);
    return r < 0 ? r : LATER;
}

static int
started(struct kh_broker *broker, const struct kh_broker_request *q, struct kh_box *box,
        struct kh_broker_reply *reply, int *ret_pass)
{
    if (box->warm)
        reply->arg = KH_BROKER_WARM;
    else if (q->arg & KH_BROKER_WARM && join(broker, q, box, NULL) == LATER)
        return LATER;
    box->warm = false;
    describe(broker, box, reply);
    pass_stream(box, ret_pass);
    return 0;
}

static int
serve_join(struct kh_broker *broker, const struct kh_broker_request *q,
           struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = find(broker, q, &reply->error);

    (void)ret_pass;
    if (!box)
        return -ENOENT;
    if (box->phase != KH_BOX_RUNNING)
        return kh_fail(&reply->error, EAGAIN, "sandbox '%s' is not running", q->name);
    return join(broker, q, box, &reply->error);
}

static int
serve_create(struct kh_broker *broker, const struct kh_broker_request *q,
             struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box;
    int r;

    if (!kh_name_valid(q->name))
        return kh_fail(&reply->error, EINVAL, "a sandbox name has " KH_NAME_RULE);
    if (!kh_image_name_valid(q->image))
        return kh_fail(&reply->error, EINVAL,
                       "that is no image name (hint: kernelhost "
                       "image ls)");
    r = kh_image_hold(&broker->host->store, &reply->error);
    if (r < 0)
        return r;
    r = kh_box_create(broker->host, q->name, q->image, &q->limits, &box, &reply->error);
    kh_image_let_go(&broker->host->store);
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
    struct kh_box *box = find(broker, q, &reply->error);
    int r = box ? kh_box_start(broker->host, box, &reply->error) : -ENOENT;

    if (r < 0)
        return r;
    kh_log(KH_LOG_INFO, "sandbox started name=%s pid=%d", q->name,
           (int)box->process.pid);
    return started(broker, q, box, reply, ret_pass);
}

static int
serve_end(struct kh_broker *broker, const struct kh_broker_request *q,
          struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = find(broker, q, &reply->error);
    int r =
        box ? kh_box_stop(broker->host, box, q->type == KH_BROKER_REMOVE, &reply->error)
            : -ENOENT;

    (void)ret_pass;
    if (r < 0)
        return r;
    box->waiter = q->serial;
    box->waiter_type = q->type;
    return LATER;
}

static int
serve_connect(struct kh_broker *broker, const struct kh_broker_request *q,
              struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = find(broker, q, &reply->error);
    int r = box ? kh_box_connect(box, &reply->error) : -ENOENT;

    if (r < 0)
        return r;
    *ret_pass = r;
    describe(broker, box, reply);
    return 0;
}

static int
serve_stat(struct kh_broker *broker, const struct kh_broker_request *q,
           struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = find(broker, q, &reply->error);

    (void)ret_pass;
    if (!box)
        return -ENOENT;
    describe(broker, box, reply);
    return 0;
}

static int
serve_list(struct kh_broker *broker, const struct kh_broker_request *q,
           struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_boxes_after(&broker->host->boxes, q->arg);

    (void)ret_pass;
    /* Without a record, one that is being removed is no sandbox any more. */
    while (box && kh_box_is_going(box))
        box = kh_boxes_after(&broker->host->boxes, box->number);
    while (box && box->spare)
        box = kh_boxes_after(&broker->host->boxes, box->number);
    if (!box)
        return kh_fail(&reply->error, ENOENT, "there are no more sandboxes");
    describe(broker, box, reply);
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

static const struct {
    uint32_t type;
    unsigned phases;
    int (*serve)(struct kh_broker *, const struct kh_broker_request *,
                 struct kh_broker_reply *, int *ret_pass);
} table[] = {
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
};

static int
serve_one(struct kh_broker *broker, const struct kh_broker_request *q,
          struct kh_error *err)
{
    struct kh_broker_reply reply = {
        .magic = KH_BROKER_MAGIC, .type = q->type, .serial = q->serial};
    size_t i;

    if (q->magic != KH_BROKER_MAGIC || !q->serial ||
        !memchr(q->name, 0, sizeof(q->name)) || !memchr(q->image, 0, sizeof(q->image)))
        return kh_fail(err, EBADMSG, "malformed broker request");
    for (i = 0; i < KH_COUNT(table); i++) {
        AUTO_FD int pass = -1;

        if (table[i].type != q->type || !(table[i].phases & broker->phase))
            continue;
        if (table[i].serve(broker, q, &reply, &pass) == LATER)
            return 0;
        return answer(broker, &reply, pass, err);
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
    describe(broker, box, &reply);
    /* Nobody asked who is here now, and it was not told of it either. */
    if (broker->phase != KH_BROKER_READY || broker->sock < 0 ||
        (!reply.serial && kh_box_is_going(box)))
        return 0;
    return answer(broker, &reply, -1, err);
}
