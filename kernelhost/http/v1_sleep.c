#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/registry.h"
#include "kernelhost/http/v1.h"

#define AFTER_MAX (10u * 365 * 24 * 3600) /* seconds */

/* A request that waits for kernelhostd; the sandbox may go meanwhile. */
struct wait {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    char name[KH_NAME_SIZE];
};

static struct wait *
wait_new(const struct kh_v1_call *call)
{
    struct wait *wait = kh_xcalloc(1, sizeof(*wait));

    wait->gateway = call->gateway;
    wait->request = call->request;
    snprintf(wait->name, sizeof(wait->name), "%s", call->name);
    return wait;
}

static void
answer(struct wait *wait, const struct kh_error *err)
{
    struct kh_sandbox *sandbox =
        kh_v1_outcome(wait->gateway, wait->request, wait->name, err);

    if (sandbox)
        kh_v1_reply(wait->request, 200, kh_v1_sandbox_json(sandbox));
    free(wait);
}

static void
on_moved(void *arg, const struct kh_error *err)
{
    answer(arg, err);
}

void
kh_v1_sleep(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);
    struct kh_error err;
    bool hibernate;

    if (!sandbox)
        return;
    if (kh_v1_flag(call->body, "hibernate", true, &hibernate, &err) < 0)
        kh_v1_error(call->request, &err);
    else
        kh_sandbox_sleep(sandbox, hibernate ? KH_SLEEP_HIBERNATE : KH_SLEEP_FREEZE,
                         on_moved, wait_new(call));
}

static void
on_awake(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct wait *wait = arg;
    struct kh_sandbox *sandbox = kh_registry_find(wait->gateway->registry, wait->name);

    (void)fd;
    if (sandbox && !reply->error.code)
        kh_sandbox_refresh(sandbox, reply);
    answer(wait, reply->error.code ? &reply->error : NULL);
}

/* Up is more than awake: its init has been spoken to. */
static void
on_up(void *arg, const struct kh_error *err)
{
    struct wait *wait = arg;

    if (err)
        answer(wait, err);
    else
        kh_broker_call_name(wait->gateway->broker, KH_BROKER_STAT, wait->name, on_awake,
                            wait);
}

void
kh_v1_wake(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);

    if (!sandbox)
        return;
    if (kh_sandbox_record(sandbox)->state == KH_SANDBOX_STOPPED)
        kh_v1_fail(call->request, 409, "conflict",
                   "sandbox '%s' is stopped (hint: kernelhost start %s)", call->name,
                   call->name);
    else
        kh_sandbox_up(sandbox, on_up, wait_new(call));
}

/* A number of seconds, or null for never. Absent: 0, as it is. */
static int
read_after(const json_t *body, const char *name, uint32_t *ret_seconds,
           struct kh_error *err)
{
    const json_t *value = json_object_get(body, name);

    *ret_seconds = 0;
    if (!value)
        return 0;
    if (json_is_null(value)) {
        *ret_seconds = KH_LADDER_NEVER;
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > AFTER_MAX)
        return kh_fail(err, EINVAL, "'%s' must be seconds, 1 to %u, or null for never",
                       name, AFTER_MAX);
    *ret_seconds = (uint32_t)json_integer_value(value);
    return 0;
}

void
kh_v1_ladder(const struct kh_v1_call *call)
{
    struct kh_broker_request request = {.type = KH_BROKER_LADDER};
    struct kh_error err;

    if (!kh_v1_sandbox(call))
        return;
    if (read_after(call->body, "freeze_after", &request.ladder.freeze, &err) < 0 ||
        read_after(call->body, "hibernate_after", &request.ladder.hibernate, &err) <
            0) {
        kh_v1_error(call->request, &err);
        return;
    }
    snprintf(request.name, sizeof(request.name), "%s", call->name);
    kh_broker_call(call->gateway->broker, &request, on_awake, wait_new(call));
}
