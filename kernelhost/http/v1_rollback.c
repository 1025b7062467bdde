/* What a whole sandbox can be rolled back to: the snapshots of it, those with its
 * processes that are made for that above all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/http/v1.h"

#define NUMBER_MAX 999999u
#define BASE_MAX   (KH_NAME_SIZE - 1 - 7) /* of a name, before '-' and a number */

/* A request that waits for kernelhostd. */
struct wait {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    char name[KH_NAME_SIZE];
    struct kh_broker_request make; /* and its number */
    unsigned number;
};

static struct wait *
wait_new(const struct kh_v1_call *call, const struct kh_sandbox *sandbox)
{
    struct wait *wait = kh_xcalloc(1, sizeof(*wait));

    wait->gateway = call->gateway;
    wait->request = call->request;
    snprintf(wait->name, sizeof(wait->name), "%s", kh_sandbox_name(sandbox));
    return wait;
}

void
kh_v1_points(const struct kh_v1_call *call)
{
    const struct kh_sandbox *sandbox = kh_v1_sandbox(call);

    if (sandbox)
        kh_v1_snapshots_list(call, kh_sandbox_name(sandbox),
                             kh_sandbox_record(sandbox)->id);
}

/* ---- a new one, under the first name that is free ---- */

static void look(struct wait *wait);

static void
on_looked(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct wait *wait = arg;

    (void)fd;
    if (!reply->error.code && wait->number < NUMBER_MAX) {
        look(wait);
        return;
    }
    if (reply->error.code == ENOENT)
        kh_v1_snapshot_make(wait->gateway, wait->request, &wait->make);
    else if (reply->error.code)
        kh_v1_error(wait->request, &reply->error);
    else
        kh_v1_fail(wait->request, 409, "conflict", "no name is free");
    free(wait);
}

static void
look(struct wait *wait)
{
    struct kh_broker_request request = {.type = KH_BROKER_SNAPSHOTS};

    snprintf(wait->make.other, sizeof(wait->make.other), "%.*s-%u", BASE_MAX,
             wait->name, ++wait->number);
    memcpy(request.other, wait->make.other, sizeof(request.other));
    kh_broker_call(wait->gateway->broker, &request, on_looked, wait);
}

void
kh_v1_point_new(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);
    struct kh_error err;
    struct wait *wait;
    const char *label;

    if (!sandbox)
        return;
    if (kh_v1_text(call->body, "label", KH_LABEL_SIZE - 1, "", &label, &err) < 0) {
        kh_v1_error(call->request, &err);
        return;
    }
    wait = wait_new(call, sandbox);
    wait->make.type = KH_BROKER_SNAPSHOT;
    wait->make.arg = kh_sandbox_record(sandbox)->state == KH_SANDBOX_STOPPED
                         ? 0
                         : KH_SNAPSHOT_MEMORY;
    memcpy(wait->make.name, wait->name, sizeof(wait->make.name));
    snprintf(wait->make.label, sizeof(wait->make.label), "%s", label);
    look(wait);
}

/* ---- back ---- */

static void
add_lost(json_t *lost, const char *what, const char *name, const char *why)
{
    json_array_append_new(
        lost, json_pack("{s:s, s:s, s:s}", "what", what, "name", name, "why", why));
}

static json_t *
lost_json(const struct kh_returned *what)
{
    json_t *lost = json_array();
    unsigned i;

    for (i = 0; i < what->ended; i++)
        add_lost(lost, "kernel", what->kernel[i], "it is not in the snapshot");
    if (!what->memory)
        add_lost(lost, "processes", "", "the snapshot has files only");
    return lost;
}

static void
on_returned(void *arg, const struct kh_returned *what, const struct kh_error *err)
{
    struct wait *wait = arg;
    struct kh_sandbox *sandbox =
        kh_v1_outcome(wait->gateway, wait->request, wait->name, err);

    if (sandbox)
        kh_v1_reply(wait->request, 200,
                    json_pack("{s:s, s:b, s:o, s:o}", "snapshot", what->snapshot,
                              "memory", what->memory, "lost", lost_json(what),
                              "sandbox", kh_v1_sandbox_json(sandbox)));
    free(wait);
}

void
kh_v1_rollback(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);
    const char *snapshot;
    struct kh_error err;

    if (!sandbox)
        return;
    if (kh_v1_text(call->body, "snapshot", KH_V1_ID_SIZE, "", &snapshot, &err) < 0)
        kh_v1_error(call->request, &err);
    else if (strlen(snapshot) >= KH_NAME_SIZE ||
             !kh_snapshot_name_valid(snapshot, false))
        kh_v1_fail(call->request, 400, "invalid",
                   "'snapshot' must be a snapshot name: " KH_NAME_RULE);
    else
        kh_sandbox_return(sandbox, snapshot, on_returned, wait_new(call, sandbox));
}
