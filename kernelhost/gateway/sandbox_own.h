/* sandbox_own: the inside of a sandbox, shared by sandbox.c (its life and link),
 * sandbox_frames.c (what init says) and sandbox_list.c (its kernels and processes).
 * Nobody else includes it.
 */
#ifndef KH_GATEWAY_SANDBOX_OWN_H
#define KH_GATEWAY_SANDBOX_OWN_H

#include "kernelhost/gateway/sandbox.h"

enum kh_sandbox_phase {
    KH_PHASE_STOPPED,
    KH_PHASE_STARTING,   /* kernelhostd was asked to start it */
    KH_PHASE_AWAY,       /* it runs, and we have no link */
    KH_PHASE_CONNECTING, /* kernelhostd was asked for a link */
    KH_PHASE_GREETING,   /* HELLO was sent */
    KH_PHASE_UP,
    KH_PHASE_STOPPING,
    KH_PHASE_BROKEN, /* its init broke the protocol; a stop mends it */
};

struct kh_waiter {
    struct kh_waiter *next;
    kh_sandbox_fn *fn;
    void *arg;
};

struct kh_sandbox {
    struct kh_gateway *gateway;
    struct kh_broker_reply record;
    enum kh_sandbox_phase phase;
    struct kh_link *link;
    struct kh_timer *timer; /* next try to connect; patience for WELCOME */
    unsigned tries;
    bool unwelcomed; /* UP by trust in a fresh init: its WELCOME is still due */
    bool joined;     /* a runner has joined it and no kernel is its yet */
    struct kh_waiter *ups, *stops;
    struct kh_kernel *kernels;
    unsigned kernel_count;
    struct kh_exec *execs;
    unsigned exec_count;
};

/* sandbox.c: init has said which kernels it holds. */
void kh_sandbox_welcomed(struct kh_sandbox *sandbox);

/* sandbox_frames.c: one frame of init's. A negative result breaks the link. */
int kh_sandbox_frame(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                     struct kh_error *err);

/* sandbox_list.c */
struct kh_kernel *kh_sandbox_kernel_numbered(struct kh_sandbox *sandbox,
                                             uint32_t number);
struct kh_kernel *kh_sandbox_insert_kernel(struct kh_sandbox *sandbox, uint32_t number,
                                           const char *id, const char *language,
                                           const struct kh_kernel_owner *owner);
struct kh_exec *kh_sandbox_exec(struct kh_sandbox *sandbox, uint64_t number);

#endif
