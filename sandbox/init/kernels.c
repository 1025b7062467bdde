#include "sandbox/init/kernels.h"

#include "base/fd.h"
#include "base/mem.h"
#include "protocol/link/runner.h"
#include "sandbox/init/session.h"

static struct kh_kernel *slots[KH_KERNELS_MAX + 1];

struct kh_kernel *
kh_kernels_slot(uint32_t number)
{
    if (number < 1 || number > KH_KERNELS_MAX)
        return NULL;
    if (!slots[number]) {
        slots[number] = kh_xcalloc(1, sizeof(*slots[number]));
        kh_kernel_init(slots[number], number);
    }
    return slots[number];
}

struct kh_kernel *
kh_kernels_after(uint32_t number)
{
    while (++number <= KH_KERNELS_MAX)
        if (slots[number])
            return slots[number];
    return NULL;
}

void
kh_kernels_ended(pid_t pid, int status)
{
    struct kh_kernel *kernel = NULL;

    while ((kernel = kh_kernels_after(kernel ? kernel->number : 0))) {
        kh_checkpoints_ended(&kernel->checkpoints, pid);
        if (kernel->runner.pid == pid && !kernel->runner.ended)
            kh_kernel_ended(kernel, status);
    }
}

uint64_t
kh_kernels_due(void)
{
    struct kh_kernel *kernel = NULL;
    uint64_t due = KH_NEVER;

    while ((kernel = kh_kernels_after(kernel ? kernel->number : 0)))
        if (kh_kernel_due(kernel) < due)
            due = kh_kernel_due(kernel);
    return due;
}

void
kh_kernels_tick(uint64_t now)
{
    struct kh_kernel *kernel = NULL;

    while ((kernel = kh_kernels_after(kernel ? kernel->number : 0)))
        kh_kernel_tick(kernel, now);
}

bool
kh_kernels_fork(void)
{
    struct kh_kernel *kernel = NULL;

    while ((kernel = kh_kernels_after(kernel ? kernel->number : 0)))
        if (kh_checkpoints_fork(&kernel->checkpoints))
            return true;
    return false;
}

void
kh_kernels_kill_all(void)
{
    struct kh_kernel *kernel = NULL;

    while ((kernel = kh_kernels_after(kernel ? kernel->number : 0))) {
        kh_checkpoints_drop(&kernel->checkpoints);
        kh_rollback_end_elders(kernel);
        if (kernel->runner.pid)
            kh_session_kill(kernel->runner.pid, kernel->runner.ended);
    }
}

void
kh_kernels_reseed(unsigned flags)
{
    struct kh_kernel *kernel = NULL;

    while ((kernel = kh_kernels_after(kernel ? kernel->number : 0))) {
        char bytes[64];
        struct kh_frame frame = {.type = KH_RUNNER_RESEED,
                                 .flags = flags,
                                 .count = 1,
                                 .slice = {{bytes, sizeof(bytes)}}};
        struct kh_buf buf = KH_BUF_INIT;

        kh_random(bytes, sizeof(bytes));
        kh_frame_encode(&frame, &buf, NULL);
        kh_runner_send(&kernel->runner, &buf);
        kh_buf_release(&buf);
    }
}
