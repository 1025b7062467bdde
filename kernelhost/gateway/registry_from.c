/* registry_from: sandboxes that are made from a snapshot. Where quotas count limits,
 * those that the snapshot has must be known before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/registry.h"

struct from {
    struct kh_registry *registry;
    struct kh_broker_request request;
    char name[KH_NAME_SIZE];
    struct kh_limits limits;
    kh_registry_fn *fn;
    void *arg;
};

static void
on_found(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct from *from = arg;

    (void)fd;
    if (reply->error.code) {
        from->fn(from->arg, NULL, &reply->error);
    } else {
        if (!from->limits.memory)
            from->limits.memory = reply->limits.memory;
        if (!from->limits.disk)
            from->limits.disk = reply->limits.disk;
        kh_registry_make(from->registry, &from->request, from->name, &from->limits,
                         from->fn, from->arg);
    }
    free(from);
}

void
kh_registry_create_from(struct kh_registry *registry, const char *name,
                        const char *snapshot, const struct kh_limits *limits,
                        const struct kh_ladder *ladder, kh_registry_fn *fn, void *arg)
{
    struct kh_gateway *gateway = kh_registry_gateway(registry);
    const struct kh_quota *quota = &gateway->config.quota;
    struct kh_broker_request find = {.type = KH_BROKER_SNAPSHOTS};
    struct kh_broker_request request = {.arg = 0};
    struct from *from;

    snprintf(request.other, sizeof(request.other), "%s", snapshot);
    request.ladder = *ladder;
    if ((!quota->memory || limits->memory) && (!quota->disk || limits->disk)) {
        kh_registry_make(registry, &request, name, limits, fn, arg);
        return;
    }
    from = kh_xcalloc(1, sizeof(*from));
    *from = (struct from){.registry = registry,
                          .request = request,
                          .limits = *limits,
                          .fn = fn,
                          .arg = arg};
    snprintf(from->name, sizeof(from->name), "%s", name);
    memcpy(find.other, request.other, sizeof(find.other));
    kh_broker_call(gateway->broker, &find, on_found, from);
}
