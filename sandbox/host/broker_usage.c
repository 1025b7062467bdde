/* What the gateway may ask for about limits, and about what is used. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "sandbox/host/broker_own.h"
#include "sandbox/host/metering.h"

int
kh_broker_serve_limit(struct kh_broker *broker, const struct kh_broker_request *q,
                      struct kh_broker_reply *reply, int *ret_pass)
{
    struct kh_box *box = kh_broker_find(broker, q, &reply->error);
    int r = box ? kh_box_limit(broker->host, box, &q->limits, &reply->error) : -ENOENT;

    (void)ret_pass;
    if (r < 0)
        return r;
    kh_log(KH_LOG_INFO, "sandbox limited name=%s memory=%llu cpu=%u pids=%u disk=%llu",
           q->name, (unsigned long long)box->record.limits.memory,
           box->record.limits.cpu_milli, box->record.limits.pids,
           (unsigned long long)box->record.limits.disk);
    kh_broker_describe(broker, box, reply);
    return 0;
}

int
kh_broker_serve_ended(struct kh_broker *broker, const struct kh_broker_request *q,
                      struct kh_broker_reply *reply, int *ret_pass)
{
    uint64_t number = q->arg;
    const struct kh_meter *meter = kh_metering_ended(broker->host, &number);

    (void)ret_pass;
    if (!meter)
        return kh_fail(&reply->error, ENOENT, "there are no more accounts");
    memcpy(reply->id, meter->id, sizeof(reply->id));
    memcpy(reply->name, meter->name, sizeof(reply->name));
    reply->created = meter->created;
    reply->account = meter->sum;
    reply->state = KH_SANDBOX_STOPPED;
    reply->arg = number;
    return 0;
}

int
kh_broker_serve_settled(struct kh_broker *broker, const struct kh_broker_request *q,
                        struct kh_broker_reply *reply, int *ret_pass)
{
    (void)reply;
    (void)ret_pass;
    kh_metering_drop(broker->host, q->id);
    return 0;
}
