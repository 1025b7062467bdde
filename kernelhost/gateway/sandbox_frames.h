/* sandbox_frames: what init may say, as a table, and what sandbox.c lends it. */
#ifndef KH_GATEWAY_SANDBOX_FRAMES_H
#define KH_GATEWAY_SANDBOX_FRAMES_H

#include "kernelhost/gateway/sandbox.h"

/* One frame of init's. A negative result breaks the link. */
int kh_sandbox_frame(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                     struct kh_error *err);

/* In sandbox.c. welcomed: init has said which kernels it holds. */
bool kh_sandbox_greeting(const struct kh_sandbox *sandbox);
void kh_sandbox_welcomed(struct kh_sandbox *sandbox);
struct kh_exec *kh_sandbox_exec(struct kh_sandbox *sandbox, uint64_t number);
struct kh_kernel *kh_sandbox_insert_kernel(struct kh_sandbox *sandbox, uint32_t number,
                                           const char *language,
                                           const struct kh_kernel_owner *owner);

#endif
