#include "kernelhost/gateway/registry_own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/quota.h"
#include "kernelhost/gateway/room.h"

#define IMAGE_PRESET "default"

/* One LIST from the first record to the last. */
struct refresh {
    struct kh_registry *registry;
    kh_sandbox_fn *fn;
    void *arg;
};

struct change {
    struct kh_registry *registry;
    kh_registry_fn *created;
    kh_sandbox_fn *removed;
    struct kh_holding more;
    void *arg;
    char name[KH_NAME_SIZE];
};

struct kh_registry *
kh_registry_new(struct kh_gateway *gateway)
{
    struct kh_registry *registry = kh_xcalloc(1, sizeof(*registry));

    registry->gateway = gateway;
    return registry;
}

void
kh_registry_free(struct kh_registry *registry)
{
    if (!registry)
        return;
    while (registry->count)
        kh_sandbox_free(registry->sandboxes[--registry->count]);
    free(registry->sandboxes);
    free(registry);
}

/* Where NAME is, or would be. */
static unsigned
place_of(const struct kh_registry *registry, const char *name, bool *ret_found)
{
    unsigned low = 0, high = registry->count;

    *ret_found = false;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = strcmp(kh_sandbox_name(registry->sandboxes[middle]), name);

        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kh_gateway *
kh_registry_gateway(struct kh_registry *registry)
{
    return registry->gateway;
}

struct kh_sandbox *
kh_registry_find(struct kh_registry *registry, const char *name)
{
    bool found;
    unsigned at = place_of(registry, name, &found);

    return found ? registry->sandboxes[at] : NULL;
}

unsigned
kh_registry_count(const struct kh_registry *registry)
{
    return registry->count;
}

struct kh_sandbox *
kh_registry_at(struct kh_registry *registry, unsigned index)
{
    return index < registry->count ? registry->sandboxes[index] : NULL;
}

void
kh_registry_note(struct kh_registry *registry, const struct kh_broker_reply *record)
{
    struct kh_row_sandbox row = {.created = record->created};

    memcpy(row.id, record->id, sizeof(row.id));
    memcpy(row.name, record->name, sizeof(row.name));
    memcpy(row.image, record->image, sizeof(row.image));
    kh_database_put_sandbox(registry->gateway->database, &row);
}

static struct kh_sandbox *
add(struct kh_registry *registry, const struct kh_broker_reply *record)
{
    bool found;
    unsigned at = place_of(registry, record->name, &found);

    if (found) {
        kh_sandbox_refresh(registry->sandboxes[at], record);
        return registry->sandboxes[at];
    }
    if (registry->count == registry->size) {
        registry->size = registry->size ? 2 * registry->size : 64;
        registry->sandboxes = kh_xrealloc(
            registry->sandboxes, registry->size * sizeof(*registry->sandboxes));
    }
    memmove(registry->sandboxes + at + 1, registry->sandboxes + at,
            (registry->count - at) * sizeof(*registry->sandboxes));
    registry->sandboxes[at] = kh_sandbox_new(registry->gateway, record);
    registry->count++;
    if (registry->recovered)
        kh_registry_note(registry, record);
    return registry->sandboxes[at];
}

static void
drop(struct kh_registry *registry, const char *name)
{
    bool found;
    unsigned at = place_of(registry, name, &found);
    struct kh_sandbox *sandbox;

    if (!found)
        return;
    sandbox = registry->sandboxes[at];
    kh_database_drop_sandbox(registry->gateway->database,
                             kh_sandbox_record(sandbox)->id);
    registry->count--;
    memmove(registry->sandboxes + at, registry->sandboxes + at + 1,
            (registry->count - at) * sizeof(*registry->sandboxes));
    kh_sandbox_free(sandbox);
}

static void on_listed(void *arg, const struct kh_broker_reply *reply, int *fd);

static void
list(struct refresh *refresh, uint64_t cursor)
{
    struct kh_broker_request request = {.type = KH_BROKER_LIST, .arg = cursor};

    kh_broker_call(refresh->registry->gateway->broker, &request, on_listed, refresh);
}

static void
end_refresh(struct refresh *refresh, const struct kh_error *err)
{
    refresh->fn(refresh->arg, err);
    free(refresh);
}

static void
on_listed(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct refresh *refresh = arg;

    (void)fd;
    if (reply->error.code == ENOENT) {
        end_refresh(refresh, NULL);
        return;
    }
    if (reply->error.code) {
        end_refresh(refresh, &reply->error);
        return;
    }
    /* A name that comes again was made anew meanwhile: the later record holds. */
    if (kh_name_valid(reply->name))
        add(refresh->registry, reply);
    list(refresh, reply->arg);
}

void
kh_registry_refresh(struct kh_registry *registry, kh_sandbox_fn *fn, void *arg)
{
    struct refresh *refresh = kh_xcalloc(1, sizeof(*refresh));

    refresh->registry = registry;
    refresh->fn = fn;
    refresh->arg = arg;
    list(refresh, 0);
}

/* Its kernels are known. */
static void
on_met(void *arg, const struct kh_error *err)
{
    struct change *change = arg;
    struct kh_sandbox *sandbox = kh_registry_find(change->registry, change->name);

    change->created(change->arg, err ? NULL : sandbox, err);
    free(change);
}

static void
on_created(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct change *change = arg;
    struct kh_broker_reply record = *reply;
    struct kh_sandbox *sandbox;

    kh_quota_done(change->registry->gateway, &change->more);
    if (reply->error.code) {
        change->created(change->arg, NULL, &reply->error);
    } else {
        memcpy(record.name, change->name, sizeof(record.name));
        kh_log(KH_LOG_INFO, "sandbox created name=%s", record.name);
        sandbox = add(change->registry, &record);
        if (reply->flags & KH_SNAPSHOT_MEMORY) {
            kh_sandbox_meet(sandbox, fd, on_met, change);
            return;
        }
        kh_sandbox_note_joined(sandbox, reply);
        kh_sandbox_greet(sandbox, fd);
        change->created(change->arg, sandbox, NULL);
    }
    free(change);
}

/* *REQUEST has the image or the snapshot. */
void
kh_registry_make(struct kh_registry *registry, struct kh_broker_request *request,
                 const char *name, const struct kh_limits *limits, kh_registry_fn *fn,
                 void *arg)
{
    struct kh_holding more = kh_quota_new(limits);
    struct change *change;
    struct kh_error err;
    unsigned nonce;

    if (kh_room_need(1, &err) < 0 ||
        kh_quota_take(registry->gateway, &more, &err) < 0) {
        fn(arg, NULL, &err);
        return;
    }
    kh_random(&nonce, sizeof(nonce));
    if (*name)
        snprintf(request->name, sizeof(request->name), "%s", name);
    else
        snprintf(request->name, sizeof(request->name), "box-%08x", nonce);
    request->type = KH_BROKER_CREATE;
    request->arg = KH_BROKER_WARM;
    request->limits = *limits;
    change = kh_xcalloc(1, sizeof(*change));
    change->registry = registry;
    change->more = more;
    change->created = fn;
    change->arg = arg;
    memcpy(change->name, request->name, sizeof(change->name));
    kh_broker_call(registry->gateway->broker, request, on_created, change);
}

void
kh_registry_create(struct kh_registry *registry, const char *name, const char *image,
                   const struct kh_limits *limits, kh_registry_fn *fn, void *arg)
{
    struct kh_broker_request request = {.arg = 0};

    snprintf(request.image, sizeof(request.image), "%s", *image ? image : IMAGE_PRESET);
    kh_registry_make(registry, &request, name, limits, fn, arg);
}

static void
on_removed(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct change *change = arg;
    struct kh_sandbox *sandbox;

    (void)fd;
    if (!reply->error.code || reply->error.code == ENOENT) {
        kh_log(KH_LOG_INFO, "sandbox removed name=%s", change->name);
        drop(change->registry, change->name);
        change->removed(change->arg, NULL);
    } else {
        sandbox = kh_registry_find(change->registry, change->name);
        if (sandbox)
            kh_sandbox_removing(sandbox, false);
        change->removed(change->arg, &reply->error);
    }
    free(change);
}

void
kh_registry_remove(struct kh_registry *registry, struct kh_sandbox *sandbox,
                   kh_sandbox_fn *fn, void *arg)
{
    struct change *change = kh_xcalloc(1, sizeof(*change));

    change->registry = registry;
    change->removed = fn;
    change->arg = arg;
    snprintf(change->name, sizeof(change->name), "%s", kh_sandbox_name(sandbox));
    kh_sandbox_removing(sandbox, true);
    kh_broker_call_name(registry->gateway->broker, KH_BROKER_REMOVE, change->name,
                        on_removed, change);
}

void
kh_registry_exited(struct kh_registry *registry, const struct kh_broker_reply *reply)
{
    struct kh_sandbox *sandbox = kh_registry_find(registry, reply->name);

    if (sandbox)
        kh_sandbox_exited(sandbox, reply);
}
