/* Snapshots: kernelhostd knows them; nothing of them is kept here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/quota.h"
#include "kernelhost/gateway/snapshot.h"
#include "kernelhost/http/v1.h"

#define EXPIRES_MAX (10u * 365 * 24 * 3600) /* seconds */

/* A request that waits for kernelhostd. */
struct wait {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    char sandbox[KH_NAME_SIZE]; /* whose are listed; "": all */
    uint8_t box[KH_ID_SIZE];    /* and its id, if it is told */
    bool told;
    json_t *list;
};

json_t *
kh_v1_snapshot_json(const struct kh_broker_reply *reply)
{
    char id[2 * KH_ID_SIZE + 1];

    kh_v1_id_text(reply->id, id);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:o, s:o, s:{s:o, s:o, s:o, s:o}}",
        "name", reply->other, "id", id, "label", reply->label, "sandbox", reply->name,
        "image", reply->image, "memory", reply->flags & KH_SNAPSHOT_MEMORY, "bytes",
        (json_int_t)reply->held, "saved", (json_int_t)reply->saved, "created",
        kh_v1_date(reply->created), "expires", kh_v1_date(reply->expires), "limits",
        "memory", kh_v1_size(reply->limits.memory), "cpus",
        reply->limits.cpu_milli ? json_real(reply->limits.cpu_milli / 1000.0)
                                : json_null(),
        "pids", kh_v1_size(reply->limits.pids), "disk", kh_v1_size(reply->limits.disk));
}

/* The answer to a request whose good answer is one snapshot. */
static void
answer(struct kh_http_request *request, unsigned status,
       const struct kh_broker_reply *reply)
{
    if (reply->error.code)
        kh_v1_error(request, &reply->error);
    else
        kh_v1_reply(request, status, kh_v1_snapshot_json(reply));
}

/* One that is to be taken, or comes from an archive. */
struct taking {
    struct kh_gateway *gateway;
    struct kh_http_request *http;
    struct kh_broker_request request;
    uint64_t count; /* of those there are */
};

static void
on_taken(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct taking *taking = arg;

    (void)fd;
    taking->gateway->coming_snapshots--;
    answer(taking->http, 201, reply);
    free(taking);
}

static void
take(struct taking *taking)
{
    struct kh_gateway *gateway = taking->gateway;
    struct kh_error err;

    if (kh_quota_snapshot(gateway, taking->count + gateway->coming_snapshots, &err) <
        0) {
        kh_v1_error(taking->http, &err);
        free(taking);
        return;
    }
    gateway->coming_snapshots++;
    if (taking->request.type == KH_BROKER_SNAPSHOT_ADOPT)
        kh_broker_call(gateway->broker, &taking->request, on_taken, taking);
    else
        kh_snapshot_ask(gateway, taking->request.name, taking->request.other,
                        taking->request.label, taking->request.expires,
                        (unsigned)taking->request.arg, on_taken, taking);
}

/* A quota needs to know how many there are; kernelhostd does. */
static void
on_counted(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_broker_request request = {.type = KH_BROKER_SNAPSHOTS};
    struct taking *taking = arg;

    (void)fd;
    if (reply->error.code == ENOENT) {
        take(taking);
        return;
    }
    if (reply->error.code) {
        kh_v1_error(taking->http, &reply->error);
        free(taking);
        return;
    }
    taking->count++;
    request.arg = reply->arg;
    kh_broker_call(taking->gateway->broker, &request, on_counted, taking);
}

void
kh_v1_snapshot_make(struct kh_gateway *gateway, struct kh_http_request *http,
                    const struct kh_broker_request *request)
{
    struct kh_broker_request all = {.type = KH_BROKER_SNAPSHOTS};
    struct taking *taking = kh_xcalloc(1, sizeof(*taking));

    *taking = (struct taking){gateway, http, *request, 0};
    if (gateway->config.quota.snapshots)
        kh_broker_call(gateway->broker, &all, on_counted, taking);
    else
        take(taking);
}

static int
read_expires(const json_t *body, uint64_t *ret_expires, struct kh_error *err)
{
    const json_t *value = json_object_get(body, "expires");
    json_int_t seconds = json_integer_value(value);

    *ret_expires = 0;
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_integer(value) || seconds < 1 || seconds > EXPIRES_MAX)
        return kh_fail(err, EINVAL,
                       "'expires' must be seconds from now, at most ten years");
    *ret_expires = (uint64_t)time(NULL) + (uint64_t)seconds;
    return 0;
}

static int
read_new(const json_t *body, struct kh_broker_request *request, struct kh_error *err)
{
    const char *name, *label = "";
    bool memory = false;
    unsigned nonce;
    int r = kh_v1_text(body, "name", 200, "", &name, err);

    if (r == 0)
        r = kh_v1_flag(body, "memory", false, &memory, err);
    if (r == 0)
        r = kh_v1_text(body, "label", KH_LABEL_SIZE - 1, "", &label, err);
    if (r == 0)
        r = read_expires(body, &request->expires, err);
    if (r < 0)
        return r;
    snprintf(request->label, sizeof(request->label), "%s", label);
    kh_random(&nonce, sizeof(nonce));
    if (!*name)
        snprintf(request->other, sizeof(request->other), "snap-%08x", nonce);
    else if (strlen(name) >= sizeof(request->other))
        return kh_fail(err, EINVAL, "a snapshot name has " KH_NAME_RULE);
    else
        snprintf(request->other, sizeof(request->other), "%s", name);
    request->arg = memory ? KH_SNAPSHOT_MEMORY : 0;
    return 0;
}

void
kh_v1_snapshot_new(const struct kh_v1_call *call)
{
    struct kh_broker_request request = {.type = KH_BROKER_SNAPSHOT};
    struct kh_error err;

    if (!kh_v1_sandbox(call))
        return;
    if (read_new(call->body, &request, &err) < 0) {
        kh_v1_error(call->request, &err);
        return;
    }
    snprintf(request.name, sizeof(request.name), "%s", call->name);
    kh_v1_snapshot_make(call->gateway, call->request, &request);
}

/* Of an archive that was unpacked already: kernelhostd has it from root alone. */
void
kh_v1_snapshot_adopt(const struct kh_v1_call *call)
{
    struct kh_broker_request request = {.type = KH_BROKER_SNAPSHOT_ADOPT};
    struct kh_error err;
    const char *id;
    int r = kh_v1_text(call->body, "import", 2 * KH_ID_SIZE, "", &id, &err);

    if (r == 0)
        r = read_expires(call->body, &request.expires, &err);
    if (r == 0 && strspn(id, "0123456789abcdef") != 2 * KH_ID_SIZE)
        r = kh_fail(&err, EINVAL, "'import' must be what kernelhost-snapshot printed");
    if (r < 0) {
        kh_v1_error(call->request, &err);
        return;
    }
    snprintf(request.name, sizeof(request.name), "%s", id);
    kh_v1_snapshot_make(call->gateway, call->request, &request);
}

static void list(struct wait *wait, uint64_t cursor);

static void
on_listed(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct wait *wait = arg;

    (void)fd;
    if (!reply->error.code) {
        if (!wait->told || !memcmp(reply->box, wait->box, sizeof(wait->box)))
            json_array_append_new(wait->list, kh_v1_snapshot_json(reply));
        list(wait, reply->arg);
        return;
    }
    if (reply->error.code == ENOENT)
        kh_v1_reply(
            wait->request, 200,
            json_pack("{s:O}", wait->told ? "checkpoints" : "snapshots", wait->list));
    else
        kh_v1_error(wait->request, &reply->error);
    json_decref(wait->list);
    free(wait);
}

static void
list(struct wait *wait, uint64_t cursor)
{
    struct kh_broker_request request = {.type = KH_BROKER_SNAPSHOTS, .arg = cursor};

    memcpy(request.name, wait->sandbox, sizeof(request.name));
    kh_broker_call(wait->gateway->broker, &request, on_listed, wait);
}

void
kh_v1_snapshots_list(const struct kh_v1_call *call, const char *sandbox,
                     const uint8_t *box)
{
    struct wait *wait = kh_xcalloc(1, sizeof(*wait));

    wait->gateway = call->gateway;
    wait->request = call->request;
    snprintf(wait->sandbox, sizeof(wait->sandbox), "%s", sandbox);
    if (box)
        memcpy(wait->box, box, sizeof(wait->box));
    wait->told = box;
    wait->list = json_array();
    list(wait, 0);
}

void
kh_v1_snapshots(const struct kh_v1_call *call)
{
    char name[KH_NAME_SIZE + 1] = "";

    kh_http_query(call->request, "sandbox", name, sizeof(name));
    if (*name && !kh_name_valid(name))
        kh_v1_fail(call->request, 400, "invalid", "a sandbox name is " KH_NAME_RULE);
    else
        kh_v1_snapshots_list(call, name, NULL);
}

/* False, answered, when the path names none. */
static bool
name_one(const struct kh_v1_call *call, struct kh_broker_request *request)
{
    if (!kh_name_valid(call->name)) {
        kh_v1_fail(call->request, 400, "invalid", "a snapshot name is " KH_NAME_RULE);
        return false;
    }
    memcpy(request->other, call->name, sizeof(request->other));
    return true;
}

static void
on_shown(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    (void)fd;
    answer(arg, 200, reply);
}

void
kh_v1_snapshot_show(const struct kh_v1_call *call)
{
    struct kh_broker_request request = {.type = KH_BROKER_SNAPSHOTS};

    if (name_one(call, &request))
        kh_broker_call(call->gateway->broker, &request, on_shown, call->request);
}

static void
on_removed(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    (void)fd;
    if (reply->error.code)
        kh_v1_error(arg, &reply->error);
    else
        kh_v1_empty(arg);
}

void
kh_v1_snapshot_remove(const struct kh_v1_call *call)
{
    struct kh_broker_request request = {.type = KH_BROKER_SNAPSHOT_REMOVE};

    if (name_one(call, &request))
        kh_broker_call(call->gateway->broker, &request, on_removed, call->request);
}
