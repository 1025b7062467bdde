#include "kernelhost/gateway/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/registry.h"
#include "kernelhost/gateway/sandbox.h"

struct wish {
    struct kh_gateway *gateway;
    struct kh_broker_request request;
    kh_broker_fn *fn;
    void *arg;
    bool ran; /* before: it shall go on afterwards */
};

static void
on_back(void *arg, const struct kh_error *err)
{
    (void)arg;
    (void)err;
}

static void
on_taken(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct wish *wish = arg;
    struct kh_sandbox *sandbox =
        kh_registry_find(wish->gateway->registry, wish->request.name);

    wish->fn(wish->arg, reply, fd);
    if (wish->ran && sandbox)
        kh_sandbox_up(sandbox, on_back, NULL);
    free(wish);
}

/* So that they are known again where their sandbox is rolled back. */
static void
note_kernels(struct wish *wish)
{
    struct kh_sandbox *sandbox =
        kh_registry_find(wish->gateway->registry, wish->request.name);
    struct kh_kernel *kernel = sandbox ? kh_sandbox_kernels(sandbox) : NULL;

    for (; kernel; kernel = kh_kernel_next(kernel))
        kh_kernel_note_ids(kernel, wish->request.kernels);
}

static void
on_saved(void *arg, const struct kh_error *err)
{
    struct wish *wish = arg;
    struct kh_broker_reply reply = {.type = KH_BROKER_SNAPSHOT};
    int fd = -1;

    if (!err) {
        note_kernels(wish);
        kh_broker_call(wish->gateway->broker, &wish->request, on_taken, wish);
        return;
    }
    reply.error = *err;
    wish->fn(wish->arg, &reply, &fd);
    free(wish);
}

void
kh_snapshot_ask(struct kh_gateway *gateway, const char *name, const char *other,
                const char *label, uint64_t expires, unsigned flags, kh_broker_fn *fn,
                void *arg)
{
    struct kh_sandbox *sandbox = kh_registry_find(gateway->registry, name);
    struct wish *wish = kh_xcalloc(1, sizeof(*wish));
    struct kh_error none;

    wish->gateway = gateway;
    wish->fn = fn;
    wish->arg = arg;
    wish->request.type = KH_BROKER_SNAPSHOT;
    wish->request.arg = flags;
    wish->request.expires = expires;
    snprintf(wish->request.name, sizeof(wish->request.name), "%s", name);
    snprintf(wish->request.other, sizeof(wish->request.other), "%s", other);
    snprintf(wish->request.label, sizeof(wish->request.label), "%s", label);
    if (!sandbox) {
        kh_fail(&none, ENOENT, "there is no sandbox '%s'", name);
        on_saved(wish, &none);
    } else if (flags & KH_SNAPSHOT_MEMORY) {
        wish->ran = kh_sandbox_is_awake(sandbox);
        kh_sandbox_sleep(
            sandbox, flags & KH_SNAPSHOT_TEMPORARY ? KH_SLEEP_VOLATILE : KH_SLEEP_SAVE,
            on_saved, wish);
    } else {
        on_saved(wish, NULL);
    }
}
