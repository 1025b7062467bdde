/* wake_own: the inside of a wake, shared by wake.c (its course) and wake_put.c (what is
 * done inside the sandbox). Nobody else includes it.
 */
#ifndef KH_HOST_WAKE_OWN_H
#define KH_HOST_WAKE_OWN_H

#include "sandbox/host/criu.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/plan.h"
#include "sandbox/host/privs.h"
#include "sandbox/host/wake.h"

struct kh_wake {
    struct kh_wake *next; /* of those that wait */
    struct kh_box *box;
    struct kh_plan *plan;
    struct kh_process criu;
    int talk, timer, dir;
    struct kh_watch watch, clock;
    char path[KH_MEMORY_PATH];
    pid_t pid; /* PID 1, from the hook */
    int pidfd;
    bool ready;             /* looked at and put back */
    struct kh_error failed; /* why it will not be */
    uint64_t since;         /* ms */
    void (*done)(void *owner, const struct kh_error *err);
    void *owner;
};

/* What the two stages of hook.h need. */
int kh_wake_namespaces(struct kh_wake *wake, struct kh_error *err);
int kh_wake_put_back(struct kh_wake *wake, struct kh_error *err);

#endif
