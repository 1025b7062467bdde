#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/launch.h"
#include "kernelhost/gateway/limits.h"
#include "kernelhost/gateway/registry.h"
#include "kernelhost/http/v1.h"

/* A request that waits for kernelhostd or a sandbox. */
struct wait {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    char name[KH_NAME_SIZE];
    bool ensure;
    json_t *images;
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

void
kh_v1_health(const struct kh_v1_call *call)
{
    const struct kh_error *bad = &call->gateway->config.bad;
    json_t *health = json_pack("{s:s, s:s, s:i, s:i}", "status", "ok", "version",
                               PACKAGE_VERSION, "pid", (int)getpid(), "sandboxes",
                               (int)kh_registry_count(call->gateway->registry));

    if (bad->code)
        json_object_set_new(health, "problem", json_string(bad->text));
    kh_v1_reply(call->request, 200, health);
}

static void next_image(struct wait *wait, uint64_t cursor);

static void
on_image(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct wait *wait = arg;

    (void)fd;
    if (!reply->error.code) {
        json_array_append_new(wait->images, json_pack("{s:s}", "name", reply->image));
        next_image(wait, reply->arg);
        return;
    }
    if (reply->error.code == ENOENT) {
        kh_v1_reply(wait->request, 200, json_pack("{s:O}", "images", wait->images));
    } else {
        kh_v1_error(wait->request, &reply->error);
    }
    json_decref(wait->images);
    free(wait);
}

static void
next_image(struct wait *wait, uint64_t cursor)
{
    struct kh_broker_request request = {.type = KH_BROKER_IMAGES, .arg = cursor};

    kh_broker_call(wait->gateway->broker, &request, on_image, wait);
}

void
kh_v1_images(const struct kh_v1_call *call)
{
    struct wait *wait = wait_new(call);

    wait->images = json_array();
    next_image(wait, 0);
}

static void
on_list(void *arg, const struct kh_error *err)
{
    struct wait *wait = arg;
    json_t *array;
    struct kh_sandbox *sandbox;
    unsigned i = 0;

    if (err) {
        kh_v1_error(wait->request, err);
        free(wait);
        return;
    }
    array = json_array();
    while ((sandbox = kh_registry_at(wait->gateway->registry, i++)))
        json_array_append_new(array, kh_v1_sandbox_json(sandbox));
    kh_v1_reply(wait->request, 200, json_pack("{s:o}", "sandboxes", array));
    free(wait);
}

void
kh_v1_list(const struct kh_v1_call *call)
{
    kh_registry_refresh(call->gateway->registry, on_list, wait_new(call));
}

static void
on_created(void *arg, struct kh_sandbox *sandbox, const struct kh_error *err)
{
    struct wait *wait = arg;

    if (err && err->code == EEXIST && wait->ensure)
        sandbox = kh_registry_find(wait->gateway->registry, wait->name);
    if (sandbox) {
        kh_v1_reply(wait->request, err ? 200 : 201, kh_v1_sandbox_json(sandbox));
        kh_sandbox_warm(sandbox);
    } else {
        kh_v1_error(wait->request, err);
    }
    free(wait);
}

int
kh_v1_read_new(const json_t *object, const char **ret_image,
               struct kh_limits *ret_limits, struct kh_error *err)
{
    int r = kh_v1_text(object, "image", KH_IMAGE_NAME_SIZE - 1, "", ret_image, err);

    if (r == 0)
        r = kh_limits_read(object, ret_limits, err);
    if (r == 0 && **ret_image && !kh_image_name_valid(*ret_image))
        r = kh_fail(err, EINVAL, "'image' must be a name like 'default'");
    return r;
}

/* The snapshot to start from, or "". */
static int
read_from(const json_t *body, const char *image, const char **ret_from,
          struct kh_error *err)
{
    char padded[KH_NAME_SIZE] = "";
    int r = kh_v1_text(body, "from", KH_NAME_SIZE - 1, "", ret_from, err);

    if (r < 0)
        return r;
    snprintf(padded, sizeof(padded), "%s", *ret_from);
    if (*padded && !kh_name_valid(padded))
        return kh_fail(err, EINVAL, "'from' must be the name of a snapshot");
    if (*padded && *image)
        return kh_fail(err, EINVAL,
                       "a sandbox from a snapshot has that one's image: give 'from' or "
                       "'image', not both");
    return 0;
}

/* NAME was checked, or is "". */
static void
create(const struct kh_v1_call *call, const char *name, bool ensure)
{
    struct kh_registry *registry = call->gateway->registry;
    static const struct kh_ladder preset;
    const char *image, *from;
    struct kh_limits limits;
    struct kh_error err;
    struct wait *wait;

    if (kh_v1_read_new(call->body, &image, &limits, &err) < 0 ||
        read_from(call->body, image, &from, &err) < 0) {
        kh_v1_error(call->request, &err);
        return;
    }
    wait = wait_new(call);
    wait->ensure = ensure;
    if (*from)
        kh_registry_create_from(registry, name, from, &limits, &preset, on_created,
                                wait);
    else
        kh_registry_create(registry, name, image, &limits, on_created, wait);
}

bool
kh_v1_may_name(const struct kh_v1_call *call, const char *name)
{
    if (!kh_name_valid(name))
        kh_v1_fail(call->request, 400, "invalid", "a sandbox name is " KH_NAME_RULE);
    else if (kh_launch_owns(name))
        kh_v1_fail(call->request, 400, "invalid",
                   "names like '%s' are for kernels that Jupyter launches", name);
    else
        return true;
    return false;
}

void
kh_v1_create(const struct kh_v1_call *call)
{
    struct kh_error err;
    const char *name;

    if (kh_v1_text(call->body, "name", 200, "", &name, &err) < 0) {
        kh_v1_error(call->request, &err);
        return;
    }
    if (*name && !kh_v1_may_name(call, name))
        return;
    if (*name && kh_registry_find(call->gateway->registry, name)) {
        kh_v1_fail(call->request, 409, "exists",
                   "there is a sandbox '%s' already (hint: choose another name, or "
                   "kernelhost show %s)",
                   name, name);
        return;
    }
    create(call, name, false);
}

void
kh_v1_ensure(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox;

    if (!kh_v1_may_name(call, call->name))
        return;
    sandbox = kh_registry_find(call->gateway->registry, call->name);
    if (sandbox)
        kh_v1_reply(call->request, 200, kh_v1_sandbox_json(sandbox));
    else
        create(call, call->name, true);
}

static void
on_shown(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct wait *wait = arg;
    struct kh_sandbox *sandbox =
        kh_v1_outcome(wait->gateway, wait->request, wait->name, &reply->error);

    (void)fd;
    if (sandbox) {
        kh_sandbox_refresh(sandbox, reply);
        kh_v1_reply(wait->request, 200, kh_v1_sandbox_json(sandbox));
    }
    free(wait);
}

static void
show(struct wait *wait)
{
    kh_broker_call_name(wait->gateway->broker, KH_BROKER_STAT, wait->name, on_shown,
                        wait);
}

void
kh_v1_show(const struct kh_v1_call *call)
{
    if (kh_v1_sandbox(call))
        show(wait_new(call));
}

static void
on_removed(void *arg, const struct kh_error *err)
{
    struct wait *wait = arg;

    if (err)
        kh_v1_error(wait->request, err);
    else
        kh_v1_empty(wait->request);
    free(wait);
}

void
kh_v1_remove(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);

    if (sandbox)
        kh_registry_remove(call->gateway->registry, sandbox, on_removed,
                           wait_new(call));
}

/* Started or stopped: answer with how it is now. */
static void
on_moved(void *arg, const struct kh_error *err)
{
    struct wait *wait = arg;

    if (!err) {
        show(wait);
        return;
    }
    kh_v1_error(wait->request, err);
    free(wait);
}

void
kh_v1_start(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);

    if (sandbox)
        kh_sandbox_up(sandbox, on_moved, wait_new(call));
}

void
kh_v1_stop(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);

    if (sandbox)
        kh_sandbox_stop(sandbox, on_moved, wait_new(call));
}
