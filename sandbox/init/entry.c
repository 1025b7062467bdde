#include "sandbox/init/entry.h"

#include <string.h>

#include "protocol/link/runner.h"
#include "sandbox/init/conn.h"
#include "sandbox/init/kernel.h"

void
kh_entry_put(struct kh_kernel *kernel, struct kh_frame *frame)
{
    struct kh_error err;

    frame->kernel = kernel->number;
    /* A frame that came whole is as large when it leaves; others are small. */
    kh_journal_add(&kernel->journal, frame, &err);
    kh_conn_news(0);
}

void
kh_entry_id(struct kh_kernel *kernel, uint16_t type, uint64_t id)
{
    struct kh_frame frame = {.type = type, .id = id};

    kh_entry_put(kernel, &frame);
}

void
kh_entry_lost(struct kh_kernel *kernel, uint64_t id, enum kh_lost why)
{
    struct kh_frame frame = {.type = KH_INIT_LOST, .flags = why, .id = id};

    kh_entry_put(kernel, &frame);
}

void
kh_entry_state(struct kh_kernel *kernel, enum kh_kernel_state state,
               const struct kh_slice *slices, uint32_t count)
{
    struct kh_frame frame = {.type = KH_INIT_STATE,
                             .flags = state,
                             .id = kernel->incarnation,
                             .count = count};

    if (count)
        memcpy(frame.slice, slices, count * sizeof(*slices));
    kh_entry_put(kernel, &frame);
    kernel->told = state;
}

void
kh_entry_reply(struct kh_kernel *kernel, uint64_t id, const char *msg_type, bool fine,
               const struct kh_buf *content)
{
    struct kh_frame frame = {.type = KH_INIT_REPLY,
                             .flags = fine ? 0 : KH_REPLY_ERROR,
                             .id = id,
                             .count = 3};

    frame.slice[0] = kh_slice_text(msg_type);
    frame.slice[1] = kh_slice_text("{}");
    frame.slice[2] = (struct kh_slice){kh_buf_ptr(content), kh_buf_len(content)};
    kh_entry_put(kernel, &frame);
}
