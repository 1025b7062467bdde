/* sandbox_record: what is known of a sandbox, and who waits for it. */
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/gateway/sandbox_own.h"

void
kh_sandbox_wait_for(struct kh_waiter **list, kh_sandbox_fn *fn, void *arg)
{
    struct kh_waiter *waiter = kh_xcalloc(1, sizeof(*waiter));

    waiter->fn = fn;
    waiter->arg = arg;
    while (*list)
        list = &(*list)->next;
    *list = waiter;
}

void
kh_sandbox_answer(struct kh_waiter **list, const struct kh_error *err)
{
    struct kh_waiter *waiters = STEAL_PTR(*list);

    while (waiters) {
        struct kh_waiter *waiter = waiters;

        waiters = waiter->next;
        if (waiter->fn)
            waiter->fn(waiter->arg, err);
        free(waiter);
    }
}

void
kh_sandbox_forget(struct kh_sandbox *sandbox, const void *arg)
{
    struct kh_waiter *waiter;

    for (waiter = sandbox->ups; waiter; waiter = waiter->next)
        if (waiter->arg == arg)
            waiter->fn = NULL;
    for (waiter = sandbox->stops; waiter; waiter = waiter->next)
        if (waiter->arg == arg)
            waiter->fn = NULL;
    for (waiter = sandbox->sleeps; waiter; waiter = waiter->next)
        if (waiter->arg == arg)
            waiter->fn = NULL;
}

/* What can be made of what kernelhostd says, without a link. */
enum kh_sandbox_phase
kh_sandbox_phase_of(const struct kh_broker_reply *record)
{
    switch (record->state) {
    case KH_SANDBOX_RUNNING:
    case KH_SANDBOX_FROZEN:
        return KH_PHASE_AWAY;
    case KH_SANDBOX_HIBERNATED:
        return KH_PHASE_HIBERNATED;
    default:
        return KH_PHASE_STOPPED;
    }
}

void
kh_sandbox_refresh(struct kh_sandbox *sandbox, const struct kh_broker_reply *record)
{
    char name[KH_NAME_SIZE];

    memcpy(name, sandbox->record.name, sizeof(name));
    sandbox->record = *record;
    memcpy(sandbox->record.name, name, sizeof(name));
    if (sandbox->phase == KH_PHASE_STOPPED || sandbox->phase == KH_PHASE_AWAY ||
        sandbox->phase == KH_PHASE_HIBERNATED)
        sandbox->phase = kh_sandbox_phase_of(record);
    kh_doze_look(sandbox); /* its ladder may be another */
}

const char *
kh_sandbox_name(const struct kh_sandbox *sandbox)
{
    return sandbox->record.name;
}

const struct kh_broker_reply *
kh_sandbox_record(const struct kh_sandbox *sandbox)
{
    return &sandbox->record;
}
