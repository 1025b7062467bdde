/* When a sandbox is idle, and what is done then.
 *
 * Idle is who has no request that runs or waits, no process by exec, to whom nothing
 * was sent, and whose processes take less than a hundredth of a processor, and read and
 * write next to nothing.
 */
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/sandbox_own.h"

/* Before it is due, how long processor time is watched at most. */
#define WATCH_MS 5000u

/* What is none: milliseconds of processor time, and bytes, a second. */
#define QUIET_CPU_MS 10u
#define QUIET_IO     4096u

static void on_timer(void *arg);

struct kh_ladder
kh_sandbox_ladder(const struct kh_sandbox *sandbox)
{
    struct kh_ladder ladder = sandbox->record.ladder;

    if (!ladder.freeze)
        ladder.freeze = KH_FREEZE_AFTER;
    if (!ladder.hibernate)
        ladder.hibernate = KH_HIBERNATE_AFTER;
    return ladder;
}

const char *
kh_doze_occupation(const struct kh_sandbox *sandbox)
{
    const struct kh_kernel *kernel;

    if (sandbox->execs)
        return "a process that exec started runs in it";
    for (kernel = sandbox->kernels; kernel; kernel = kh_kernel_next(kernel))
        if (kh_kernel_works(kernel))
            return "a cell runs in it";
    return NULL;
}

/* When its next step is due. */
static uint64_t
due_at(const struct kh_sandbox *sandbox)
{
    struct kh_ladder ladder = kh_sandbox_ladder(sandbox);
    uint32_t after = kh_sandbox_is_frozen(sandbox) ? ladder.hibernate : ladder.freeze;

    if (!kh_sandbox_is_frozen(sandbox) && ladder.hibernate < ladder.freeze)
        after = ladder.hibernate;
    return after == KH_LADDER_NEVER ? UINT64_MAX
                                    : sandbox->doze.active + (uint64_t)after * 1000;
}

/* Frozen without a link, as a snapshot of it leaves it. */
static bool
is_left(const struct kh_sandbox *sandbox)
{
    return sandbox->phase == KH_PHASE_AWAY && kh_sandbox_is_frozen(sandbox);
}

/* Processor time is read some time before, and compared when it is due. */
void
kh_doze_look(struct kh_sandbox *sandbox)
{
    uint64_t due = due_at(sandbox), at = kh_sandbox_now(sandbox), wait;

    if (!(sandbox->phase == KH_PHASE_UP || is_left(sandbox)) || due == UINT64_MAX) {
        kh_timer_stop(sandbox->doze.timer);
        return;
    }
    wait = due > at ? due - at : 0;
    if (!kh_sandbox_is_frozen(sandbox) && sandbox->doze.looked < sandbox->doze.active)
        wait -= wait / 2 < WATCH_MS ? wait / 2 : WATCH_MS;
    kh_timer_start(sandbox->doze.timer, wait ? wait : 1, 0);
}

static void
descend(struct kh_sandbox *sandbox)
{
    struct kh_ladder ladder = kh_sandbox_ladder(sandbox);

    if (kh_sandbox_is_frozen(sandbox) || ladder.hibernate <= ladder.freeze)
        kh_doze_part(sandbox, 0);
    else
        kh_doze_freeze(sandbox);
}

static bool
has_worked(const struct kh_doze *doze, const struct kh_usage *usage, uint64_t ms)
{
    uint64_t io = usage->io > doze->io ? usage->io - doze->io : 0;

    return usage->cpu_usec - doze->cpu_usec > ms * QUIET_CPU_MS ||
           io > ms * QUIET_IO / 1000;
}

/* How long it must have done nothing in sight of two looks. */
static uint64_t
watch_ms(const struct kh_sandbox *sandbox)
{
    struct kh_ladder ladder = kh_sandbox_ladder(sandbox);
    uint64_t after =
        ladder.hibernate < ladder.freeze ? ladder.hibernate : ladder.freeze;

    return after * 1000 / 2 < WATCH_MS ? after * 1000 / 2 : WATCH_MS;
}

static void
on_usage(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_doze *doze = &sandbox->doze;
    uint64_t at = kh_sandbox_now(sandbox), watched = at - doze->looked,
             watch = watch_ms(sandbox);
    bool counts = doze->looked >= doze->active, worked;

    (void)fd;
    doze->busy = false;
    if (reply->error.code || sandbox->phase != KH_PHASE_UP)
        return;
    worked = has_worked(doze, &reply->usage, watched);
    if (counts && !worked && watched < watch) {
        kh_timer_start(doze->timer, watch - watched, 0);
        return;
    }
    doze->looked = at;
    doze->cpu_usec = reply->usage.cpu_usec;
    doze->io = reply->usage.io;
    if (counts && worked) {
        doze->active = at;
    } else if (counts && at >= due_at(sandbox) && !kh_doze_occupation(sandbox)) {
        descend(sandbox);
        return;
    }
    kh_doze_look(sandbox);
}

static void
on_asleep(void *arg, const struct kh_error *err)
{
    (void)arg;
    (void)err; /* it has been noted */
}

static void
on_timer(void *arg)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_doze *doze = &sandbox->doze;

    if (is_left(sandbox) && kh_sandbox_now(sandbox) >= due_at(sandbox))
        kh_sandbox_sleep(sandbox, KH_SLEEP_HIBERNATE, on_asleep, NULL);
    if (sandbox->phase != KH_PHASE_UP || doze->busy)
        return;
    if (kh_doze_occupation(sandbox))
        doze->active = kh_sandbox_now(sandbox);
    if (kh_sandbox_is_frozen(sandbox)) {
        if (kh_sandbox_now(sandbox) >= due_at(sandbox))
            descend(sandbox);
        else
            kh_doze_look(sandbox);
        return;
    }
    if (kh_doze_occupation(sandbox)) {
        kh_doze_look(sandbox);
        return;
    }
    doze->busy = true;
    kh_broker_call_name(sandbox->gateway->broker, KH_BROKER_STAT, sandbox->record.name,
                        on_usage, sandbox);
}

void
kh_doze_init(struct kh_sandbox *sandbox)
{
    sandbox->doze.timer = kh_timer_new(sandbox->gateway->loop, on_timer, sandbox);
    sandbox->doze.active = kh_sandbox_now(sandbox);
}

void
kh_doze_release(struct kh_sandbox *sandbox)
{
    kh_timer_close(sandbox->doze.timer);
    kh_buf_release(&sandbox->doze.frames);
}
