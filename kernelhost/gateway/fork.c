#include "kernelhost/gateway/fork.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/registry.h"
#include "kernelhost/gateway/snapshot.h"

struct wait {
    struct fork *fork;
    struct kh_fork_child *child;
};

struct fork {
    struct kh_gateway *gateway;
    kh_fork_fn *fn;
    void *arg;
    char snapshot[KH_NAME_SIZE];
    struct kh_ladder ladder; /* of the one that is forked */
    struct kh_fork_child *children;
    struct wait *waits; /* one a child */
    unsigned count, pending;
};

static void
finish(struct fork *fork, const struct kh_error *err)
{
    fork->fn(fork->arg, fork->children, fork->count, err);
    free(fork->children);
    free(fork->waits);
    free(fork);
}

/* If this fails it goes with the gateway. */
static void
on_removed(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    (void)arg;
    (void)reply;
    (void)fd;
}

static void
one_less(struct fork *fork)
{
    struct kh_broker_request request = {.type = KH_BROKER_SNAPSHOT_REMOVE};

    if (--fork->pending)
        return;
    memcpy(request.other, fork->snapshot, sizeof(request.other));
    kh_broker_call(fork->gateway->broker, &request, on_removed, NULL);
    finish(fork, NULL);
}

static void
on_created(void *arg, struct kh_sandbox *sandbox, const struct kh_error *err)
{
    struct wait *wait = arg;

    if (sandbox) {
        snprintf(wait->child->name, sizeof(wait->child->name), "%s",
                 kh_sandbox_name(sandbox));
        kh_sandbox_warm(sandbox);
    } else {
        wait->child->err = *err;
    }
    one_less(wait->fork);
}

static void
on_snapshot(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct fork *fork = arg;
    unsigned i;

    (void)fd;
    if (reply->error.code) {
        finish(fork, &reply->error);
        return;
    }
    fork->pending = 1;
    for (i = 0; i < fork->count; i++) {
        if (fork->children[i].err.code)
            continue;
        fork->pending++;
        kh_registry_create_from(fork->gateway->registry, fork->children[i].name,
                                fork->snapshot, &reply->limits, &fork->ladder,
                                on_created, &fork->waits[i]);
    }
    one_less(fork);
}

void
kh_fork(struct kh_gateway *gateway, const char *name, bool memory,
        const struct kh_fork_child *children, unsigned count, kh_fork_fn *fn, void *arg)
{
    const struct kh_sandbox *sandbox = kh_registry_find(gateway->registry, name);
    struct fork *fork = kh_xcalloc(1, sizeof(*fork));
    unsigned failed = 0, i;
    uint64_t nonce;

    fork->gateway = gateway;
    fork->fn = fn;
    fork->arg = arg;
    fork->children = kh_xcalloc(count, sizeof(*fork->children));
    fork->waits = kh_xcalloc(count, sizeof(*fork->waits));
    fork->count = count;
    if (sandbox)
        fork->ladder = kh_sandbox_record(sandbox)->ladder;
    for (i = 0; i < count; i++) {
        fork->children[i] = children[i];
        failed += children[i].err.code != 0;
        fork->waits[i] = (struct wait){fork, &fork->children[i]};
    }
    if (failed == count) {
        finish(fork, NULL);
        return;
    }
    kh_random(&nonce, sizeof(nonce));
    snprintf(fork->snapshot, sizeof(fork->snapshot), "~fork-%016" PRIx64, nonce);
    kh_snapshot_ask(gateway, name, fork->snapshot, "", 0,
                    KH_SNAPSHOT_TEMPORARY | (memory ? KH_SNAPSHOT_MEMORY : 0),
                    on_snapshot, fork);
}
