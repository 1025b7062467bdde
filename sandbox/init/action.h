/* action: what a kernel does in a step of its table: one function an action.
 *
 * Called by kh_kernel_event only, after the state has changed; queue.h says what
 * each action is. An action may cause further events.
 */
#ifndef KH_INIT_ACTION_H
#define KH_INIT_ACTION_H

#include "base/error.h"
#include "protocol/link/frame.h"
#include "sandbox/init/kernel.h"
#include "sandbox/init/queue.h"

/* FRAME is what caused the event: the gateway's frame for requests, the runner's
 * for READY and DONE, else NULL. Returns 0 or, when the gateway's frame is
 * refused, -errno. */
int kh_action_run(struct kh_kernel *kernel, enum kh_queue_action action,
                  const struct kh_frame *frame, struct kh_error *err);

#endif
