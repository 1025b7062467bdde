/* sandbox_frames: what init may say, as a table. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "kernelhost/gateway/exec.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/link.h"
#include "kernelhost/gateway/sandbox_own.h"
#include "protocol/link/init.h"

#define WELCOME_SLICE                                                                  \
    32 /* u32 number, u32 state, u64 first, u64 last, u64 accepted                     \
        */

static uint64_t
get(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    int i;

    for (i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* A kernel that init holds: ours from an earlier link, or one that an earlier
 * gateway started and we adopt. */
static int
hold_kernel(struct kh_sandbox *sandbox, const struct kh_slice *slice,
            struct kh_error *err)
{
    const unsigned char *at = slice->data;
    struct kh_kernel_held held;
    struct kh_kernel *kernel;
    uint32_t number;

    if (slice->size != WELCOME_SLICE)
        return kh_fail(err, EBADMSG, "a kernel in WELCOME has %zu bytes", slice->size);
    number = (uint32_t)get(at, 4);
    if (number < 1 || number > KH_KERNELS_MAX)
        return kh_fail(err, EBADMSG, "a kernel in WELCOME has number %u", number);
    kernel = kh_sandbox_returned_kernel(sandbox, number);
    held.state = (uint32_t)get(at + 4, 4);
    held.first = get(at + 8, 8);
    held.last = get(at + 16, 8);
    held.accepted = get(at + 24, 8);
    kh_kernel_up(kernel, &held);
    return 0;
}

static int
on_welcome(struct kh_sandbox *sandbox, const struct kh_frame *frame,
           struct kh_error *err)
{
    uint32_t i;
    int r;

    if (sandbox->phase != KH_PHASE_GREETING && !sandbox->unwelcomed)
        return kh_fail(err, EBADMSG, "init says WELCOME twice");
    if (frame->id != KH_INIT_VERSION)
        return kh_fail(err, EBADMSG, "init speaks version %llu",
                       (unsigned long long)frame->id);
    if (sandbox->unwelcomed && frame->count)
        return kh_fail(err, EBADMSG, "a new init has %u kernels", frame->count);
    for (i = 0; i < frame->count; i++) {
        r = hold_kernel(sandbox, &frame->slice[i], err);
        if (r < 0)
            return r;
    }
    kh_sandbox_welcomed(sandbox);
    return 0;
}

static int
on_refused(struct kh_sandbox *sandbox, const struct kh_frame *frame,
           struct kh_error *err)
{
    struct kh_kernel *kernel = kh_sandbox_kernel_numbered(sandbox, frame->kernel);
    struct kh_exec *exec = frame->kernel ? NULL : kh_sandbox_exec(sandbox, frame->id);
    char why[200];

    /* Input or a signal for a process that has just ended. */
    if (!frame->kernel && frame->flags != KH_INIT_EXEC)
        return 0;
    kh_log_clean(frame->slice[0].data, frame->slice[0].size, why, sizeof(why));
    kh_log(KH_LOG_WARN, "init refused a frame sandbox=%s type=%u why=%s",
           kh_sandbox_name(sandbox), frame->flags, why);
    if (kernel)
        kh_kernel_refused(kernel, frame);
    else if (exec)
        return kh_exec_frame(exec, frame, err);
    return 0;
}

/* What a kernel said last may come when it is gone. */
static int
on_entry(struct kh_sandbox *sandbox, const struct kh_frame *frame, struct kh_error *err)
{
    struct kh_kernel *kernel = kh_sandbox_kernel_numbered(sandbox, frame->kernel);
    bool known = frame->kernel >= 1 && frame->kernel <= KH_KERNELS_MAX;

    if (!kernel && known && sandbox->numbers & UINT64_C(1) << (frame->kernel - 1))
        return 0;
    if (!kernel)
        return kh_fail(err, EBADMSG, "init speaks of kernel %u", frame->kernel);
    return kh_kernel_entry(kernel, frame, err);
}

/* A process that has ended may still be spoken of; then it is nobody's. */
static int
on_exec(struct kh_sandbox *sandbox, const struct kh_frame *frame, struct kh_error *err)
{
    struct kh_exec *exec = kh_sandbox_exec(sandbox, frame->id);

    return exec ? kh_exec_frame(exec, frame, err) : 0;
}

static const struct {
    enum kh_init_type type;
    uint32_t slices_min, slices_max;
    int (*handle)(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                  struct kh_error *err);
} table[] = {
    {KH_INIT_WELCOME, 0, KH_KERNELS_MAX, on_welcome},
    {KH_INIT_REFUSED, 1, 1, on_refused},
    {KH_INIT_STATE, 0, 2, on_entry},
    {KH_INIT_BEGIN, 0, 0, on_entry},
    {KH_INIT_PUBLISH, 3, KH_FRAME_SLICES_MAX, on_entry},
    {KH_INIT_STREAM, 1, 1, on_entry},
    {KH_INIT_REPLY, 3, KH_FRAME_SLICES_MAX, on_entry},
    {KH_INIT_DONE, 0, 0, on_entry},
    {KH_INIT_LOST, 0, 0, on_entry},
    {KH_INIT_EXEC_OUTPUT, 1, 1, on_exec},
    {KH_INIT_EXEC_EXIT, 0, 1, on_exec},
};

int
kh_sandbox_frame(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                 struct kh_error *err)
{
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (table[i].type != frame->type)
            continue;
        if (frame->count < table[i].slices_min || frame->count > table[i].slices_max)
            return kh_fail(err, EBADMSG, "frame of type %u has %u slices", frame->type,
                           frame->count);
        if (frame->type != KH_INIT_WELCOME &&
            (sandbox->phase == KH_PHASE_GREETING || sandbox->unwelcomed))
            return kh_fail(err, EBADMSG, "init speaks before WELCOME");
        return table[i].handle(sandbox, frame, err);
    }
    return kh_fail(err, EBADMSG, "init sends a frame of type %u", frame->type);
}

int
kh_sandbox_send_urgent(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                       struct kh_error *err)
{
    bool wants = frame->type != KH_INIT_ACK && frame->type != KH_INIT_EXEC_ACK;

    if (sandbox->phase == KH_PHASE_UP && wants)
        kh_doze_touch(sandbox);
    else if (sandbox->phase != KH_PHASE_UP && sandbox->phase != KH_PHASE_GREETING)
        return wants ? kh_doze_keep(sandbox, frame, err)
                     : kh_fail(err, ENOTCONN, "sandbox '%s' is not connected",
                               sandbox->record.name);
    if (!sandbox->link)
        return kh_fail(err, ENOTCONN, "sandbox '%s' is not connected",
                       sandbox->record.name);
    return kh_link_send(sandbox->link, frame, err);
}

int
kh_sandbox_send(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                struct kh_error *err)
{
    if (sandbox->link && !kh_link_room(sandbox->link, kh_frame_size(frame)))
        return kh_fail(err, ENOBUFS, "sandbox '%s' does not take more requests now",
                       sandbox->record.name);
    return kh_sandbox_send_urgent(sandbox, frame, err);
}
