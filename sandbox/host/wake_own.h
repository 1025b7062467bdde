/* wake_own: the inside of a wake: wake.c (its course), wake_put.c (what is done inside
 * the sandbox), wake_queue.c (whose turn it is). Nobody else includes it.
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

/* wake_queue.c: the next ones may begin. */
void kh_wake_pump(struct kh_host *host);

/* wake.c: begins; a failure is told by DONE like any later one. And the end, with ERR's
 * code 0 when it runs. */
void kh_wake_start(struct kh_wake *wake);
void kh_wake_done(struct kh_wake *wake, const struct kh_error *err);

/* wake_put.c: what the two stages of hook.h need. */
int kh_wake_namespaces(struct kh_wake *wake, struct kh_error *err);
int kh_wake_put_back(struct kh_wake *wake, struct kh_error *err);

#endif
