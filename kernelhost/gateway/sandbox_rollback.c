/* sandbox_rollback: a sandbox becomes what a snapshot of it holds.
 *
 *     UP, STOPPED, HIBERNATED, BROKEN -> RETURNING   kernelhostd is asked; nothing is
 *                                                    sent to init any more
 *     RETURNING -> as it was                         it was refused, or failed
 *     RETURNING -> HIBERNATED or STOPPED             it has been done; what ran goes on
 *                                                    from there at once
 *
 * Kernels are noted before it is asked: should this process die, the next one sees by
 * the place of the sandbox which of them are none any more (kh_kernel_is_doomed).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/exec.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/link.h"
#include "kernelhost/gateway/quota.h"
#include "kernelhost/gateway/sandbox_own.h"

struct kh_return {
    struct kh_returned what;
    struct kh_holding more; /* that it takes, until it is answered */
    kh_return_fn *fn;
    void *arg;
    bool ran; /* it goes on afterwards */
};

static void
finish(struct kh_sandbox *sandbox, const struct kh_error *err)
{
    struct kh_return *back = STEAL_PTR(sandbox->back);

    if (!back)
        return;
    back->fn(back->arg, &back->what, err);
    free(back);
}

void
kh_sandbox_return_ends(struct kh_sandbox *sandbox)
{
    struct kh_error err;

    kh_fail(&err, ENOENT, "the sandbox was removed");
    if (sandbox->back)
        kh_quota_done(sandbox->gateway, &sandbox->back->more);
    finish(sandbox, &err);
}

/* ---- afterwards ---- */

/* Those who came meanwhile come again. */
static void
admit(struct kh_sandbox *sandbox)
{
    struct kh_waiter *waiters = STEAL_PTR(sandbox->ups), *next;

    for (; waiters; waiters = next) {
        next = waiters->next;
        if (waiters->fn)
            kh_sandbox_up(sandbox, waiters->fn, waiters->arg);
        free(waiters);
    }
}

/* It goes on as if nothing had been asked. */
static void
resume(struct kh_sandbox *sandbox, const struct kh_error *err)
{
    struct kh_kernel *kernel;

    for (kernel = sandbox->kernels; kernel; kernel = kh_kernel_next(kernel))
        kh_kernel_doom(kernel, NULL);
    if (sandbox->phase == KH_PHASE_RETURNING) {
        sandbox->phase =
            sandbox->link ? KH_PHASE_UP : kh_sandbox_phase_of(&sandbox->record);
        if (sandbox->link)
            kh_doze_send_kept(sandbox);
        kh_doze_look(sandbox);
    }
    finish(sandbox, err);
    admit(sandbox);
}

static void
note_ended(struct kh_return *back, const struct kh_kernel *kernel)
{
    struct kh_returned *what = &back->what;

    if (what->ended < KH_BROKER_KERNELS)
        snprintf(what->kernel[what->ended++], KH_UUID_SIZE, "%s", kh_kernel_id(kernel));
}

/* The old init is gone, and so is the link to it. */
static void
part(struct kh_sandbox *sandbox)
{
    static const char why[] = "the sandbox was rolled back";
    struct kh_return *back = sandbox->back;
    struct kh_kernel *kernel, *next;

    kh_link_free(STEAL_PTR(sandbox->link));
    kh_timer_stop(sandbox->timer);
    sandbox->unwelcomed = sandbox->joined = false;
    kh_buf_release(&sandbox->doze.frames);
    while (sandbox->execs)
        kh_exec_lost(sandbox->execs, why);
    for (kernel = sandbox->kernels; kernel; kernel = next) {
        next = kh_kernel_next(kernel);
        if (kh_kernel_is_doomed(kernel)) {
            note_ended(back, kernel);
            kh_kernel_expel(kernel, why);
        } else if (back->what.memory) {
            kh_kernel_rolled_back(kernel, why);
        } else {
            kh_kernel_down(kernel, why);
        }
    }
}

static void
on_going_on(void *arg, const struct kh_error *err)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_error why;

    if (err) {
        why = *err;
        kh_fail_in(&why, "sandbox '%s' is rolled back, but does not run",
                   sandbox->record.name);
    }
    finish(sandbox, err ? &why : NULL);
}

static void
on_returned(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_return *back = sandbox->back;
    bool ran = back->ran;

    (void)fd;
    kh_quota_done(sandbox->gateway, &back->more);
    memset(&back->more, 0, sizeof(back->more));
    if (reply->error.code) {
        resume(sandbox, &reply->error);
        return;
    }
    kh_log(KH_LOG_INFO, "sandbox rolled back name=%s snapshot=%s", sandbox->record.name,
           back->what.snapshot);
    sandbox->doze.problem[0] = '\0';
    memcpy(sandbox->record.place, reply->place, sizeof(sandbox->record.place));
    part(sandbox);
    if (sandbox->phase == KH_PHASE_RETURNING || sandbox->phase == KH_PHASE_STOPPED)
        sandbox->phase = kh_sandbox_phase_of(reply);
    kh_sandbox_refresh(sandbox, reply);
    if (back->what.memory) {
        sandbox->returning = kh_xcalloc(KH_BROKER_KERNELS, KH_ID_SIZE);
        memcpy(sandbox->returning, back->what.ids, sizeof(back->what.ids));
    }
    if (ran)
        kh_sandbox_up(sandbox, on_going_on, sandbox);
    else
        finish(sandbox, NULL);
    admit(sandbox);
}

/* ---- before ---- */

static int
may_return(const struct kh_sandbox *sandbox, struct kh_error *err)
{
    const char *why = kh_doze_occupation(sandbox);

    if (why && sandbox->phase != KH_PHASE_BROKEN)
        return kh_fail(err, EBUSY,
                       "sandbox '%s' cannot be rolled back: %s (hint: interrupt it, or "
                       "try again when it is done)",
                       sandbox->record.name, why);
    if (sandbox->phase != KH_PHASE_UP && sandbox->phase != KH_PHASE_STOPPED &&
        sandbox->phase != KH_PHASE_HIBERNATED && sandbox->phase != KH_PHASE_BROKEN)
        return kh_fail(err, EBUSY, "sandbox '%s' is on its way (hint: try again)",
                       sandbox->record.name);
    return 0;
}

/* A stopped one has processes again. */
static int
take_quota(struct kh_sandbox *sandbox, struct kh_error *err)
{
    struct kh_return *back = sandbox->back;

    if (sandbox->record.state == KH_SANDBOX_STOPPED && back->what.memory)
        back->more = kh_quota_start(&sandbox->record);
    if (kh_quota_take(sandbox->gateway, &back->more, err) == 0)
        return 0;
    memset(&back->more, 0, sizeof(back->more));
    return -err->code;
}

static void
on_found(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_broker_request request = {.type = KH_BROKER_ROLLBACK};
    struct kh_sandbox *sandbox = arg;
    struct kh_return *back = sandbox->back;
    struct kh_error err = reply->error;
    struct kh_kernel *kernel;

    (void)fd;
    back->what.memory = reply->flags & KH_SNAPSHOT_MEMORY;
    if (err.code || may_return(sandbox, &err) < 0 || take_quota(sandbox, &err) < 0) {
        finish(sandbox, &err);
        return;
    }
    memcpy(back->what.ids, reply->kernels, sizeof(back->what.ids));
    for (kernel = sandbox->kernels; kernel; kernel = kh_kernel_next(kernel))
        kh_kernel_doom(kernel, back->what.memory ? back->what.ids : NULL);
    if (sandbox->phase != KH_PHASE_BROKEN)
        sandbox->phase = KH_PHASE_RETURNING;
    memcpy(request.name, sandbox->record.name, sizeof(request.name));
    memcpy(request.other, back->what.snapshot, sizeof(request.other));
    kh_broker_call(sandbox->gateway->broker, &request, on_returned, sandbox);
}

/* Nothing is asked of a sandbox that works. */
static void
find(struct kh_sandbox *sandbox)
{
    struct kh_broker_request request = {.type = KH_BROKER_SNAPSHOTS};
    struct kh_error err;

    if (may_return(sandbox, &err) < 0) {
        finish(sandbox, &err);
        return;
    }
    memcpy(request.other, sandbox->back->what.snapshot, sizeof(request.other));
    kh_broker_call(sandbox->gateway->broker, &request, on_found, sandbox);
}

static void
on_up(void *arg, const struct kh_error *err)
{
    struct kh_sandbox *sandbox = arg;

    if (err && sandbox->phase != KH_PHASE_BROKEN)
        finish(sandbox, err);
    else
        find(sandbox);
}

void
kh_sandbox_return(struct kh_sandbox *sandbox, const char *snapshot, kh_return_fn *fn,
                  void *arg)
{
    static const struct kh_returned none;
    struct kh_error err;

    if (sandbox->back) {
        kh_fail(&err, EBUSY, "sandbox '%s' is being rolled back", sandbox->record.name);
        fn(arg, &none, &err);
        return;
    }
    sandbox->back = kh_xcalloc(1, sizeof(*sandbox->back));
    sandbox->back->fn = fn;
    sandbox->back->arg = arg;
    sandbox->back->ran = sandbox->record.state == KH_SANDBOX_RUNNING;
    snprintf(sandbox->back->what.snapshot, sizeof(sandbox->back->what.snapshot), "%s",
             snapshot);
    /* Without a link nobody knows whether a cell runs; and what one has said last may
     * be known to its init alone. */
    if (sandbox->phase == KH_PHASE_AWAY ||
        (sandbox->phase == KH_PHASE_HIBERNATED && kh_doze_occupation(sandbox)) ||
        sandbox->phase == KH_PHASE_CONNECTING || sandbox->phase == KH_PHASE_GREETING ||
        sandbox->phase == KH_PHASE_STARTING)
        kh_sandbox_up(sandbox, on_up, sandbox);
    else
        find(sandbox);
}

/* ---- init tells which kernels it has ---- */

struct kh_kernel *
kh_sandbox_returned_kernel(struct kh_sandbox *sandbox, uint32_t number)
{
    static const uint8_t nobody[KH_ID_SIZE];
    struct kh_kernel *kernel = kh_sandbox_kernel_numbered(sandbox, number);
    const uint8_t *id = sandbox->returning ? sandbox->returning[number - 1] : nobody;
    char text[KH_UUID_SIZE];

    if (kernel && kh_kernel_is_doomed(kernel)) {
        kh_kernel_expel(kernel, "the sandbox was rolled back");
        kernel = NULL;
    }
    if (kernel)
        return kernel;
    kh_uuid_format(id, text);
    kernel = kh_sandbox_insert_kernel(sandbox, number,
                                      memcmp(id, nobody, sizeof(nobody)) ? text : NULL,
                                      "python", NULL);
    if (sandbox->returning)
        kh_kernel_rolled_back(kernel, "");
    return kernel;
}
