/* rolled: a kernel whose sandbox was rolled back: init holds another interpreter of it,
 * or none. */
#include <string.h>

#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"

_Static_assert(KH_BROKER_KERNELS == KH_KERNELS_MAX, "one id for each kernel");

static void
id_of(const struct kh_kernel *kernel, uint8_t ret_id[KH_ID_SIZE])
{
    memset(ret_id, 0, KH_ID_SIZE);
    (void)kh_uuid_parse(kernel->id, ret_id);
}

void
kh_kernel_note_ids(const struct kh_kernel *kernel,
                   uint8_t ids[KH_BROKER_KERNELS][KH_ID_SIZE])
{
    id_of(kernel, ids[kernel->number - 1]);
}

static bool
is_of_place(const struct kh_kernel *kernel)
{
    return !memcmp(kernel->note->place, kh_sandbox_record(kernel->sandbox)->place,
                   sizeof(kernel->note->place));
}

void
kh_kernel_doom(struct kh_kernel *kernel, const uint8_t (*ids)[KH_ID_SIZE])
{
    uint8_t id[KH_ID_SIZE];

    id_of(kernel, id);
    kernel->note->doomed = ids && memcmp(id, ids[kernel->number - 1], sizeof(id)) != 0;
    memcpy(kernel->note->place, kh_sandbox_record(kernel->sandbox)->place,
           sizeof(kernel->note->place));
}

bool
kh_kernel_is_doomed(const struct kh_kernel *kernel)
{
    return kernel->note->doomed && !is_of_place(kernel);
}

void
kh_kernel_expel(struct kh_kernel *kernel, const char *why)
{
    kh_kernel_lose_requests(kernel, true, "KernelDied", why);
    kh_tell_state(kernel, NULL, "dead");
    kh_kernel_free(kernel);
}

bool
kh_kernel_is_back_dead(struct kh_kernel *kernel, const struct kh_kernel_held *held)
{
    if (held->state != KH_KERNEL_DEAD)
        return false;
    kh_kernel_step(kernel, KH_LIFE_EV_DIED, NULL);
    kh_tell_state(kernel, NULL, "dead");
    return true;
}

/* Whatever was taken up of it means nothing any more. */
static void
forget_recovery(struct kh_kernel *kernel)
{
    struct kh_recovery *recovery = &kernel->recovery;

    kh_timer_stop(recovery->timer);
    recovery->closed = recovery->known = recovery->stopped = false;
    kernel->note->waiting = 0;
}

/* Nothing of its journal is comparable with what was read of it before. */
void
kh_kernel_rolled_back(struct kh_kernel *kernel, const char *why)
{
    struct kh_sink *sink;

    forget_recovery(kernel);
    kernel->note->doomed = 0;
    kernel->back = true;
    kernel->ordered = 0;
    kernel->owed = 0;
    kernel->running = 0;
    kernel->reply_first = kernel->reply_count = 0;
    kh_kernel_down(kernel, why);
    for (sink = kernel->sinks; sink; sink = sink->next)
        sink->after = 0;
}
