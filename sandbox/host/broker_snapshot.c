/* What the gateway may ask about snapshots. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "sandbox/host/broker_own.h"
#include "sandbox/host/snapshot.h"

static void
describe(const struct kh_snapshot *snapshot, struct kh_broker_reply *reply)
{
    const struct kh_snapshot_record *record = &snapshot->record;

    memcpy(reply->id, record->id, sizeof(reply->id));
    memcpy(reply->name, record->sandbox, sizeof(reply->name));
    memcpy(reply->other, record->name, sizeof(reply->other));
    memcpy(reply->image, record->image, sizeof(reply->image));
    reply->limits = record->limits;
    reply->created = record->created;
    reply->expires = record->expires;
    reply->held = record->held;
    reply->saved = snapshot->saved;
    reply->flags = record->flags;
    memcpy(reply->box, record->box, sizeof(reply->box));
    memcpy(reply->label, record->label, sizeof(reply->label));
}

struct kh_snapshot *
kh_broker_find_snapshot(struct kh_broker *broker, const struct kh_broker_request *q,
                        struct kh_error *err)
{
    struct kh_snapshot *snapshot =
        kh_snapshots_find(&broker->host->snapshots, q->other);

    if (snapshot && !snapshot->taking)
        return snapshot;
    kh_fail(err, ENOENT, "there is no snapshot '%s' (hint: kernelhost snapshot ls)",
            q->other);
    return NULL;
}

int
kh_broker_take_over(const struct kh_snapshot *snapshot, struct kh_record *record,
                    struct kh_error *err)
{
    const struct kh_snapshot_record *from = &snapshot->record;
    struct kh_limits *limits = &record->limits;
    int r;

    memcpy(record->image, from->image, sizeof(record->image));
    memcpy(record->image_id, from->image_id, sizeof(record->image_id));
    if (!limits->memory)
        limits->memory = from->limits.memory;
    if (!limits->cpu_milli)
        limits->cpu_milli = from->limits.cpu_milli;
    if (!limits->pids)
        limits->pids = from->limits.pids;
    if (!limits->disk)
        limits->disk = from->limits.disk;
    /* One from an archive has no limits: what the default means is decided first. */
    r = kh_disk_check(snapshot->host->store.disk, &limits->disk, err);
    if (r < 0)
        return r;
    if (limits->disk && limits->disk < from->held)
        return kh_fail(err, EINVAL,
                       "snapshot '%s' holds %" PRIu64
                       " bytes, more than the disk of %" PRIu64 " that is asked for",
                       from->name, from->held, limits->disk);
    return 0;
}

/* A request that is answered when the snapshot is there, or could not be. */
struct waiting {
    struct kh_broker *broker;
    uint64_t generation, serial;
};

static void
taken(void *owner, struct kh_snapshot *snapshot, const struct kh_error *failed)
{
    struct waiting *w = owner;
    struct kh_broker *broker = w->broker;
    struct kh_broker_reply reply = {.magic = KH_BROKER_MAGIC,
                                    .type = KH_BROKER_SNAPSHOT,
                                    .serial = w->serial,
                                    .error = *failed};

    if (w->generation == broker->generation && broker->sock >= 0) {
        if (snapshot)
            describe(snapshot, &reply);
        /* A socket that fails is seen by the loop. */
        (void)kh_broker_answer(broker, &reply, -1, NULL);
    } else if (snapshot && snapshot->record.flags & KH_SNAPSHOT_TEMPORARY) {
        (void)kh_snapshot_remove(snapshot, NULL);
    }
    free(w);
}

int
kh_broker_snapshot(struct kh_broker *broker, const struct kh_broker_request *q,
                   struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);
    struct kh_snapshot_record wish = {.expires = q->expires, .flags = (uint32_t)q->arg};
    bool memory = wish.flags & KH_SNAPSHOT_MEMORY;
    struct waiting *w;
    int r;

    (void)ret_pass;
    if (!box)
        return -ENOENT;
    memcpy(wish.name, q->other, sizeof(wish.name));
    memcpy(wish.label, q->label, sizeof(wish.label));
    w = kh_xcalloc(1, sizeof(*w));
    *w = (struct waiting){broker, broker->generation, q->serial};
    r = kh_snapshot_take(box, &wish, memory ? q->kernels : NULL, taken, w,
                         &reply->error);
    if (r < 0)
        free(w);
    return r < 0 ? r : KH_BROKER_LATER;
}

static bool
is_wanted(const struct kh_snapshot *snapshot, const struct kh_broker_request *q)
{
    return !(snapshot->record.flags & KH_SNAPSHOT_TEMPORARY) &&
           (!*q->name || !strcmp(q->name, snapshot->record.sandbox));
}

int
kh_broker_snapshots(struct kh_broker *broker, const struct kh_broker_request *q,
                    struct kh_broker_reply *reply, int *ret_pass)
{
    const struct kh_snapshots *all = &broker->host->snapshots;
    const struct kh_snapshot *snapshot;

    (void)ret_pass;
    if (*q->other) {
        snapshot = kh_broker_find_snapshot(broker, q, &reply->error);
    } else {
        snapshot = kh_snapshots_after(all, q->arg);
        while (snapshot && !is_wanted(snapshot, q))
            snapshot = kh_snapshots_after(all, snapshot->number);
        if (!snapshot)
            kh_fail(&reply->error, ENOENT, "there are no more snapshots");
    }
    if (!snapshot)
        return -ENOENT;
    describe(snapshot, reply);
    if (*q->other)
        kh_snapshot_kernels(snapshot, reply->kernels);
    reply->arg = snapshot->number;
    return 0;
}

int
kh_broker_snapshot_remove(struct kh_broker *broker, const struct kh_broker_request *q,
                          struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_snapshot *snapshot = kh_broker_find_snapshot(broker, q, &reply->error);

    (void)ret_pass;
    return snapshot ? kh_snapshot_remove(snapshot, &reply->error) : -ENOENT;
}

int
kh_broker_snapshot_adopt(struct kh_broker *broker, const struct kh_broker_request *q,
                         struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_snapshot *snapshot = NULL;
    int r =
        kh_snapshot_adopt(broker->host, q->name, q->expires, &snapshot, &reply->error);

    (void)ret_pass;
    if (r == 0)
        describe(snapshot, reply);
    return r;
}
