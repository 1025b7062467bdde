/* Limits of a sandbox that exists. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/limits.h"
#include "kernelhost/gateway/quota.h"
#include "kernelhost/http/v1.h"

struct wait {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    struct kh_holding more;
    char name[KH_NAME_SIZE];
};

static void
on_limited(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct wait *wait = arg;
    struct kh_sandbox *sandbox;

    (void)fd;
    kh_quota_done(wait->gateway, &wait->more);
    sandbox = kh_v1_outcome(wait->gateway, wait->request, wait->name, &reply->error);
    if (sandbox) {
        kh_sandbox_refresh(sandbox, reply);
        kh_v1_reply(wait->request, 200, kh_v1_sandbox_json(sandbox));
    }
    free(wait);
}

void
kh_v1_limit(const struct kh_v1_call *call)
{
    struct kh_broker_request request = {.type = KH_BROKER_LIMIT};
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);
    struct kh_holding more;
    struct kh_error err;
    struct wait *wait;
    int r;

    if (!sandbox)
        return;
    r = kh_limits_read(call->body, &request.limits, &err);
    if (r == 0) {
        more = kh_quota_change(kh_sandbox_record(sandbox), &request.limits);
        r = kh_quota_take(call->gateway, &more, &err);
    }
    if (r < 0) {
        kh_v1_error(call->request, &err);
        return;
    }
    wait = kh_xcalloc(1, sizeof(*wait));
    wait->more = more;
    wait->gateway = call->gateway;
    wait->request = call->request;
    snprintf(wait->name, sizeof(wait->name), "%s", call->name);
    memcpy(request.name, wait->name, sizeof(request.name));
    kh_broker_call(call->gateway->broker, &request, on_limited, wait);
}
