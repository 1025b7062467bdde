/* kernel: one kernel of the sandbox: its runner, its queue and its journal.
 *
 * Lives in a slot of kernels.h for as long as init does: after a stop the slot
 * keeps its journal (until acknowledged) and its numbers, and the next kernel of
 * that number goes on with them. What happens when is in queue.h's table;
 * kh_kernel_event is the only function that changes the state.
 */
#ifndef KH_INIT_KERNEL_H
#define KH_INIT_KERNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/link/frame.h"
#include "protocol/link/init.h"
#include "sandbox/init/checkpoint.h"
#include "sandbox/init/journal.h"
#include "sandbox/init/kind.h"
#include "sandbox/init/queue.h"
#include "sandbox/init/rollback.h"
#include "sandbox/init/runner.h"

/* Time a runner has between SHUTDOWN (or the end of its socket) and SIGKILL,
 * in milliseconds. */
#define KH_KERNEL_GRACE 2000

struct kh_kernel {
    uint32_t number;
    enum kh_queue_state state;
    enum kh_kernel_state told; /* the last STATE in the journal; 0: none */
    uint64_t incarnation;
    struct kh_kind_plan plan;
    struct kh_journal journal;
    bool blocked; /* the journal was full and is not low yet */
    struct kh_queue queue;
    struct kh_runner runner;
    struct kh_checkpoints checkpoints;
    struct kh_rollback rollback;
    uint64_t text_id;    /* request that text from the pipes belongs to */
    unsigned interrupts; /* of the running request */
    uint64_t grace;      /* when the time to end is over; KH_NEVER */
    uint32_t status;     /* of the runner that ended, as STATE dead says it */
    struct kh_error why; /* what made init end it, or why it could not start */
};

void kh_kernel_init(struct kh_kernel *kernel, uint32_t number);

/* Does what the table says for EVENT. FRAME as kh_action_run. */
int kh_kernel_event(struct kh_kernel *kernel, enum kh_queue_event event,
                    const struct kh_frame *frame, struct kh_error *err);

/* What the gateway asks for. Each returns 0, or -errno with the text that
 * REFUSED carries. */
int kh_kernel_start(struct kh_kernel *kernel, const struct kh_frame *frame,
                    struct kh_error *err);
int kh_kernel_restart(struct kh_kernel *kernel, struct kh_error *err);
int kh_kernel_stop(struct kh_kernel *kernel, struct kh_error *err);
int kh_kernel_request(struct kh_kernel *kernel, const struct kh_frame *frame,
                      struct kh_error *err);
int kh_kernel_interrupt(struct kh_kernel *kernel, uint64_t id, struct kh_error *err);
void kh_kernel_ack(struct kh_kernel *kernel, uint64_t seq);

/* Its process was reaped. */
void kh_kernel_ended(struct kh_kernel *kernel, int status);

/* The next moment it must be called at, and the call. */
uint64_t kh_kernel_due(const struct kh_kernel *kernel);
void kh_kernel_tick(struct kh_kernel *kernel, uint64_t now);

#endif
