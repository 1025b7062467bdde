/* rollback: what a kernel does about its checkpoints: table steps and requests.
 *
 * A request with KH_REQUEST_CHECKPOINT goes to the runner like any other, which asks
 * for a connection while it runs. One with KH_REQUEST_ROLLBACK never reaches the runner
 * that is there: that one is killed with what it began since the checkpoint, the
 * checkpoint takes its place and the request goes there. The others are answered here.
 *
 * Processes that began before the checkpoint and stayed in the session go on; the
 * sessions of earlier runners are remembered, so that a restart or a stop ends them.
 */
#ifndef KH_INIT_ROLLBACK_H
#define KH_INIT_ROLLBACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/link/frame.h"
#include "sandbox/init/queue.h"

/* Sessions of earlier runners that have members; for more, the oldest is ended. */
#define KH_ROLLBACK_ELDERS 16

/* Time a checkpoint has to say READY, in milliseconds. */
#define KH_ROLLBACK_GRACE 10000

#define KH_REQUEST_OF_INIT (KH_REQUEST_CHECKPOINTS | KH_REQUEST_FORGET)

struct kh_kernel;

struct kh_rollback {
    uint64_t to;        /* number of the checkpoint */
    uint64_t connected; /* the request that has had a connection for its checkpoint */
    pid_t elder[KH_ROLLBACK_ELDERS];
    unsigned elders;
};

/* Whether the flags and slices of a request about checkpoints fit together. */
bool kh_rollback_fits(const struct kh_frame *frame);

/* The answer to a request of KH_REQUEST_OF_INIT: content of its reply, and whether it
 * is an error. */
bool kh_rollback_answer(struct kh_kernel *kernel, const struct kh_request *request,
                        struct kh_buf *ret_content);

/* The turn of a ROLLBACK has come: whether it can be done, or the content of the reply
 * that says why not. */
bool kh_rollback_begin(struct kh_kernel *kernel, const struct kh_request *request,
                       struct kh_buf *ret_content);

/* Kills; true when the runner runs no code any more (else its end is awaited). */
bool kh_rollback_kill(struct kh_kernel *kernel);

/* Lets the checkpoint be the runner, which has drained. */
int kh_rollback_thaw(struct kh_kernel *kernel, struct kh_error *err);

/* The runner asks for a connection. -EBADMSG when it may not. */
int kh_rollback_connect(struct kh_kernel *kernel, struct kh_error *err);

/* Ends what is left of the sessions of earlier runners. */
void kh_rollback_end_elders(struct kh_kernel *kernel);

#endif
