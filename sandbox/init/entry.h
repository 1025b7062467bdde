/* entry: what init itself writes into a kernel's journal. */
#ifndef KH_INIT_ENTRY_H
#define KH_INIT_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "protocol/link/frame.h"
#include "protocol/link/init.h"

struct kh_kernel;

/* FRAME gets the kernel's number. It is sent at once. */
void kh_entry_put(struct kh_kernel *kernel, struct kh_frame *frame);

/* BEGIN or DONE of a request; and LOST. */
void kh_entry_id(struct kh_kernel *kernel, uint16_t type, uint64_t id);
void kh_entry_lost(struct kh_kernel *kernel, uint64_t id, enum kh_lost why);

/* STATE of this incarnation. */
void kh_entry_state(struct kh_kernel *kernel, enum kh_kernel_state state,
                    const struct kh_slice *slices, uint32_t count);

/* REPLY to a request that no runner has answered; FINE: it is no error. */
void kh_entry_reply(struct kh_kernel *kernel, uint64_t id, const char *msg_type,
                    bool fine, const struct kh_buf *content);

#endif
