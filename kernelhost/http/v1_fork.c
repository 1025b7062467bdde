/* fork: several sandboxes at once, and for each how it went. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/gateway/fork.h"
#include "kernelhost/gateway/launch.h"
#include "kernelhost/gateway/quota.h"
#include "kernelhost/gateway/registry.h"
#include "kernelhost/http/v1.h"

struct wait {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
};

static json_t *
child_json(struct kh_registry *registry, const struct kh_fork_child *child)
{
    struct kh_sandbox *sandbox = kh_registry_find(registry, child->name);
    struct kh_error gone;

    if (!child->err.code && sandbox)
        return json_pack("{s:s, s:o}", "name", child->name, "sandbox",
                         kh_v1_sandbox_json(sandbox));
    kh_fail(&gone, ENOENT, "sandbox '%s' was removed meanwhile", child->name);
    return json_pack("{s:s, s:o}", "name", child->name, "error",
                     kh_v1_error_json(child->err.code ? &child->err : &gone));
}

static void
on_forked(void *arg, const struct kh_fork_child *children, unsigned count,
          const struct kh_error *err)
{
    struct wait *wait = arg;
    json_t *forks;
    unsigned i;

    if (err) {
        kh_v1_error(wait->request, err);
    } else {
        forks = json_array();
        for (i = 0; i < count; i++)
            json_array_append_new(forks,
                                  child_json(wait->gateway->registry, &children[i]));
        kh_v1_reply(wait->request, 200, json_pack("{s:o}", "forks", forks));
    }
    free(wait);
}

/* As much of the text as a name may have, up to a whole character: what is no name is
 * told back, and JSON holds nothing but UTF-8. */
static void
copy_name(const char *name, char out[KH_NAME_SIZE])
{
    size_t size = strnlen(name, KH_NAME_SIZE);

    if (size == KH_NAME_SIZE)
        do
            size--;
        while (size && ((unsigned char)name[size] & 0xc0) == 0x80);
    memcpy(out, name, size);
    out[size] = '\0';
}

/* A name that is wrong is the fault of that one child. */
static void
read_name(const char *name, struct kh_fork_child *child)
{
    char padded[KH_NAME_SIZE + 1] = "";

    snprintf(padded, sizeof(padded), "%s", name);
    copy_name(name, child->name);
    if (!kh_name_valid(padded))
        kh_fail(&child->err, EINVAL, "a sandbox name is " KH_NAME_RULE);
    else if (kh_launch_owns(name))
        kh_fail(&child->err, EINVAL,
                "names like '%s' are for kernels that Jupyter launches", name);
}

/* Returns how many. */
static int
read_children(const json_t *body, struct kh_fork_child children[KH_FORKS_MAX],
              struct kh_error *err)
{
    const json_t *names = json_object_get(body, "names"), *name;
    const json_t *count = json_object_get(body, "count");
    json_int_t many =
        names ? (json_int_t)json_array_size(names) : json_integer_value(count);
    size_t i;

    if (!names == !count || (names && !json_is_array(names)) ||
        (count && !json_is_integer(count)))
        return kh_fail(err, EINVAL, "either 'names' or 'count' says what to make");
    if (many < 1 || many > KH_FORKS_MAX)
        return kh_fail(err, EINVAL, "1 to %u sandboxes are made at once", KH_FORKS_MAX);
    json_array_foreach(names, i, name)
    {
        if (!json_is_string(name))
            return kh_fail(err, EINVAL, "'names' must hold texts");
        read_name(json_string_value(name), &children[i]);
    }
    return (int)many;
}

void
kh_v1_fork(const struct kh_v1_call *call)
{
    AUTO_FREE struct kh_fork_child *children =
        kh_xcalloc(KH_FORKS_MAX, sizeof(*children));
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);
    struct kh_error err;
    struct wait *wait;
    bool memory, has;
    int count;

    if (!sandbox)
        return;
    has = kh_sandbox_record(sandbox)->state != KH_SANDBOX_STOPPED;
    if (kh_v1_flag(call->body, "memory", has, &memory, &err) < 0) {
        kh_v1_error(call->request, &err);
        return;
    }
    count = read_children(call->body, children, &err);
    if (count < 0 || kh_quota_fork(call->gateway, (unsigned)count, &err) < 0) {
        kh_v1_error(call->request, &err);
        return;
    }
    wait = kh_xcalloc(1, sizeof(*wait));
    *wait = (struct wait){call->gateway, call->request};
    kh_fork(call->gateway, call->name, memory, children, (unsigned)count, on_forked,
            wait);
}
