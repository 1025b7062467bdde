/* inquest: a kernel has died: why, and what follows.
 *
 * The wait status comes from init, the memory limit's part in it from kernelhostd.
 * Then everybody who waits for that kernel is told, and it is restarted in place,
 * unless it belongs to a launcher or dies too often.
 */
#include <stdio.h>

#include "base/log.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"

/* True when the kernel has died too often to be restarted by itself. */
static bool
restarts_used_up(struct kh_kernel *kernel)
{
    uint64_t now = kh_loop_now(kernel->gateway->loop);
    uint64_t *oldest = &kernel->restarts[kernel->restart_at];

    if (*oldest && now - *oldest < KH_RESTART_WINDOW_MS)
        return true;
    *oldest = now ? now : 1;
    kernel->restart_at = (kernel->restart_at + 1) % KH_RESTARTS_MAX;
    return false;
}

static void
stay_dead(struct kh_kernel *kernel)
{
    kh_tell_state(kernel, NULL, "dead");
    if (kernel->channels)
        kh_channels_still(kernel->channels);
    if (kernel->owned)
        kernel->owner.died(kernel->owner.arg, kernel->death.status);
    else if (kernel->warm)
        kh_kernel_stop(kernel);
}

/* Everything about a death is known: say it, answer, and go on. */
void
kh_kernel_judge(struct kh_kernel *kernel)
{
    char why[KH_DEATH_TEXT_MAX], line[KH_DEATH_TEXT_MAX + 16];
    bool again;

    kh_death_text(&kernel->death, why);
    kh_log(KH_LOG_INFO, "kernel died kernel=%s sandbox=%s why=%s", kernel->id,
           kh_sandbox_name(kernel->sandbox), why);
    kh_coalesce_end(&kernel->coalesce, kh_loop_now(kernel->gateway->loop));
    snprintf(line, sizeof(line), "\n%s\n", why);
    kh_tell_stderr(kernel, kernel->last_request, line);
    again = kernel->restart_asked ||
            (!kernel->owned && !kernel->warm &&
             kernel->death.status != KH_STATUS_UNKNOWN && !restarts_used_up(kernel));
    kernel->restart_asked = false;
    kernel->returning = again;
    kh_kernel_lose_requests(kernel, !again, "KernelDied", why);
    kernel->returning = false;
    kernel->owed = 0;
    if (!again) {
        stay_dead(kernel);
        return;
    }
    kh_tell_state(kernel, NULL, "restarting");
    kh_kernel_step(kernel, KH_LIFE_EV_RESTART, NULL);
}

static void
on_stat(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_kernel *kernel = arg;

    (void)fd;
    if (!reply->error.code) {
        kh_sandbox_refresh(kernel->sandbox, reply);
        kernel->death.memory_limit = reply->limits.memory;
        kernel->death.oom_kills = reply->usage.oom_kills - kernel->oom_kills;
        kernel->oom_kills = reply->usage.oom_kills;
    }
    kh_kernel_step(kernel, KH_LIFE_EV_EXPLAINED, NULL);
}

void
kh_kernel_inquire(struct kh_kernel *kernel)
{
    kh_broker_call_name(kernel->gateway->broker, KH_BROKER_STAT,
                        kh_sandbox_name(kernel->sandbox), on_stat, kernel);
}
