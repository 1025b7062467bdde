/* sandbox_own: the inside of a sandbox: sandbox.c (its life and link) and the other
 * sandbox_*.c, each of which says what it is for. Nobody else includes it.
 */
#ifndef KH_GATEWAY_SANDBOX_OWN_H
#define KH_GATEWAY_SANDBOX_OWN_H

#include "base/buf.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/sandbox.h"

enum kh_sandbox_phase {
    KH_PHASE_STOPPED,
    KH_PHASE_STARTING,   /* kernelhostd was asked to start it */
    KH_PHASE_AWAY,       /* it runs, and we have no link */
    KH_PHASE_CONNECTING, /* kernelhostd was asked for a link */
    KH_PHASE_GREETING,   /* HELLO was sent */
    KH_PHASE_UP,
    KH_PHASE_PARTING,    /* BYE was sent: init closes the link */
    KH_PHASE_SAVING,     /* kernelhostd was asked to hibernate it */
    KH_PHASE_HIBERNATED, /* its processes are on the disk */
    KH_PHASE_WAKING,     /* kernelhostd was asked to bring them back */
    KH_PHASE_RETURNING,  /* kernelhostd was asked to roll it back */
    KH_PHASE_STOPPING,
    KH_PHASE_BROKEN, /* its init broke the protocol; a stop mends it */
};

struct kh_waiter {
    struct kh_waiter *next;
    kh_sandbox_fn *fn;
    void *arg;
};

#define KH_WELCOME_MS                                                                  \
    5000 /* for init to answer HELLO or BYE; then it is roused, once */

/* Its sleep (sandbox_sleep.c). Times are the loop's milliseconds. */
struct kh_doze {
    struct kh_timer *timer; /* when to look whether it is idle */
    uint64_t active;        /* when something was wanted of it last */
    unsigned keep;          /* flags of the HIBERNATE that is under way */
    bool thawing;           /* kernelhostd was asked to let it go on */
    bool busy;              /* kernelhostd was asked something for the ladder */
    bool freezing;          /* it was asked to freeze it */
    bool roused;            /* as init did not answer */
    bool wanted;            /* something waits for it to be back */
    uint64_t looked;        /* when its accounts were read last; 0: not */
    uint64_t cpu_usec, io;  /* and what they were */
    struct kh_buf frames;   /* for init, when it can be reached again */
    char problem[256];      /* why it did not hibernate or wake last; "" */
};

struct kh_sandbox {
    struct kh_gateway *gateway;
    struct kh_broker_reply record;
    enum kh_sandbox_phase phase;
    struct kh_link *link;
    struct kh_timer *timer; /* next try to connect; patience for WELCOME */
    unsigned tries;
    bool unwelcomed;        /* UP by trust in a fresh init: its WELCOME is still due */
    struct kh_holding more; /* that its start takes, until it is answered */
    bool joined;            /* a runner has joined it and no kernel is its yet */
    struct kh_waiter *ups, *stops, *sleeps;
    struct kh_doze doze;
    struct kh_return *back;           /* a rollback that is not answered yet, or NULL */
    uint8_t (*returning)[KH_ID_SIZE]; /* of kernels that init tells of next, or NULL */
    struct kh_kernel *kernels;
    unsigned kernel_count;
    uint64_t numbers; /* that kernels had which are gone: bits, from 1 on */
    struct kh_exec *execs;
    unsigned exec_count;
};

static inline uint64_t
kh_sandbox_now(const struct kh_sandbox *sandbox)
{
    return kh_loop_now(sandbox->gateway->loop);
}

static inline bool
kh_sandbox_is_frozen(const struct kh_sandbox *sandbox)
{
    return sandbox->record.state == KH_SANDBOX_FROZEN;
}

/* sandbox_record.c: a list of waiters. */
void kh_sandbox_wait_for(struct kh_waiter **list, kh_sandbox_fn *fn, void *arg);
void kh_sandbox_answer(struct kh_waiter **list, const struct kh_error *err);

/* sandbox.c: the steps of its life that sandbox_sleep.c takes part in. */
int kh_sandbox_hail(struct kh_sandbox *sandbox, int *fd, struct kh_error *err);
void kh_sandbox_fail(struct kh_sandbox *sandbox, enum kh_sandbox_phase phase,
                     const struct kh_error *why);
void kh_sandbox_link_to(struct kh_sandbox *sandbox);

/* sandbox_record.c: what can be made of what kernelhostd says, without a link. */
enum kh_sandbox_phase kh_sandbox_phase_of(const struct kh_broker_reply *record);

/* sandbox_idle.c: begin and end of struct kh_doze; when to look for idleness next is to
 * be seen again; what is under way in it, in words, or NULL. */
void kh_doze_init(struct kh_sandbox *sandbox);
void kh_doze_release(struct kh_sandbox *sandbox);
void kh_doze_look(struct kh_sandbox *sandbox);
const char *kh_doze_occupation(const struct kh_sandbox *sandbox);

/* sandbox_sleep.c: something is wanted of it now; it is to be frozen; init is to close
 * the link so that it can be saved, with flags of HIBERNATE; init has; a frame that
 * cannot be sent now is kept (-ENOTCONN: it is not asleep); what was kept goes out with
 * the new link. */
void kh_doze_touch(struct kh_sandbox *sandbox);
void kh_doze_freeze(struct kh_sandbox *sandbox);
void kh_doze_part(struct kh_sandbox *sandbox, unsigned keep);
void kh_doze_parted(struct kh_sandbox *sandbox);
int kh_doze_keep(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                 struct kh_error *err);
void kh_doze_send_kept(struct kh_sandbox *sandbox);
void kh_doze_wake(struct kh_sandbox *sandbox);

/* sandbox.c: init has said which kernels it holds. */
void kh_sandbox_welcomed(struct kh_sandbox *sandbox);

/* sandbox_frames.c: one frame of init's. A negative result breaks the link. */
int kh_sandbox_frame(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                     struct kh_error *err);

/* sandbox_rollback.c: the kernel of this number, of which init tells; nobody waits for
 * a rollback any more. */
struct kh_kernel *kh_sandbox_returned_kernel(struct kh_sandbox *sandbox,
                                             uint32_t number);
void kh_sandbox_return_ends(struct kh_sandbox *sandbox);

/* sandbox_list.c */
struct kh_kernel *kh_sandbox_kernel_numbered(struct kh_sandbox *sandbox,
                                             uint32_t number);
struct kh_kernel *kh_sandbox_insert_kernel(struct kh_sandbox *sandbox, uint32_t number,
                                           const char *id, const char *language,
                                           const struct kh_kernel_owner *owner);
struct kh_exec *kh_sandbox_exec(struct kh_sandbox *sandbox, uint64_t number);

#endif
