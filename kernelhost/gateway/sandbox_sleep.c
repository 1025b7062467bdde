/* sandbox_sleep: when a sandbox sleeps, and how it wakes.
 *
 *     UP, running -> UP, frozen     idle for ladder.freeze: the link stays, what is
 *                                   sent waits in the socket
 *     UP, frozen -> UP, running     something is wanted of it
 *     UP -> PARTING -> SAVING -> HIBERNATED   idle for ladder.hibernate: the link is
 *                                   closed by init, then kernelhostd saves it
 *     HIBERNATED -> WAKING -> GREETING -> UP  something is wanted of it: frames wait
 *                                   here and go out behind HELLO
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/link.h"
#include "kernelhost/gateway/sandbox_own.h"
#include "protocol/link/init.h"

#define KEPT_MAX (64u * 1024 * 1024)

static void
note_problem(struct kh_sandbox *sandbox, const struct kh_error *err)
{
    kh_log_clean(err->text, strlen(err->text), sandbox->doze.problem,
                 sizeof(sandbox->doze.problem));
}

static void
on_frozen(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_sandbox *sandbox = arg;

    (void)fd;
    sandbox->doze.busy = sandbox->doze.freezing = false;
    if (!reply->error.code)
        sandbox->record.state = KH_SANDBOX_FROZEN;
    else
        note_problem(sandbox, &reply->error);
    kh_sandbox_answer(&sandbox->sleeps, reply->error.code ? &reply->error : NULL);
    if (sandbox->doze.wanted || reply->error.code)
        kh_doze_touch(sandbox);
    else
        kh_doze_look(sandbox);
}

void
kh_doze_freeze(struct kh_sandbox *sandbox)
{
    sandbox->doze.busy = sandbox->doze.freezing = true;
    sandbox->doze.wanted = false;
    kh_broker_call_name(sandbox->gateway->broker, KH_BROKER_FREEZE,
                        sandbox->record.name, on_frozen, sandbox);
}

/* Frozen, it could not answer. */
void
kh_doze_part(struct kh_sandbox *sandbox, unsigned keep)
{
    struct kh_frame bye = {.type = KH_INIT_BYE};

    sandbox->doze.keep = keep;
    if (kh_sandbox_is_frozen(sandbox))
        kh_doze_touch(sandbox);
    sandbox->doze.wanted = sandbox->doze.roused = false;
    sandbox->phase = KH_PHASE_PARTING;
    kh_timer_stop(sandbox->doze.timer);
    kh_timer_start(sandbox->timer, KH_WELCOME_MS, 0);
    kh_link_send(sandbox->link, &bye, NULL);
}

/* ---- waking ---- */

static void
on_thawed(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_sandbox *sandbox = arg;

    (void)fd;
    sandbox->doze.thawing = false;
    if (!reply->error.code)
        sandbox->record.state = KH_SANDBOX_RUNNING;
    kh_doze_look(sandbox);
}

void
kh_doze_touch(struct kh_sandbox *sandbox)
{
    struct kh_doze *doze = &sandbox->doze;

    doze->active = kh_sandbox_now(sandbox);
    doze->wanted = true;
    if (kh_sandbox_is_frozen(sandbox) && !doze->thawing) {
        doze->thawing = true;
        kh_broker_call_name(sandbox->gateway->broker, KH_BROKER_WAKE,
                            sandbox->record.name, on_thawed, sandbox);
    } else if (!kh_timer_active(doze->timer)) {
        kh_doze_look(sandbox);
    }
}

static void
on_woken(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_error err = reply->error;

    if (sandbox->phase != KH_PHASE_WAKING)
        return;
    if (err.code) {
        note_problem(sandbox, &err);
        kh_sandbox_fail(sandbox, KH_PHASE_HIBERNATED, &err);
        return;
    }
    sandbox->doze.problem[0] = '\0';
    kh_sandbox_refresh(sandbox, reply);
    if (*fd < 0 || kh_sandbox_hail(sandbox, fd, &err) < 0)
        kh_sandbox_link_to(sandbox);
}

void
kh_doze_wake(struct kh_sandbox *sandbox)
{
    if (sandbox->phase != KH_PHASE_HIBERNATED)
        return;
    sandbox->phase = KH_PHASE_WAKING;
    kh_broker_call_name(sandbox->gateway->broker, KH_BROKER_WAKE, sandbox->record.name,
                        on_woken, sandbox);
}

/* ---- hibernation ---- */

static void
on_hibernated(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_doze *doze = &sandbox->doze;
    struct kh_error err = reply->error;

    (void)fd;
    if (sandbox->phase != KH_PHASE_SAVING)
        return;
    if (err.code) {
        note_problem(sandbox, &err);
        sandbox->record.state = KH_SANDBOX_FROZEN;
        sandbox->phase = KH_PHASE_AWAY;
        doze->active = kh_sandbox_now(sandbox); /* the ladder tries again, some day */
        kh_sandbox_answer(&sandbox->sleeps, &err);
        if (doze->wanted || sandbox->ups)
            kh_sandbox_link_to(sandbox);
        return;
    }
    doze->problem[0] = '\0';
    sandbox->phase = KH_PHASE_HIBERNATED;
    kh_sandbox_refresh(sandbox, reply);
    kh_sandbox_answer(&sandbox->sleeps, NULL);
    if (!doze->wanted && !sandbox->ups)
        return;
    if (sandbox->phase == KH_PHASE_HIBERNATED)
        kh_doze_wake(sandbox);
    else if (sandbox->phase == KH_PHASE_AWAY)
        kh_sandbox_link_to(sandbox);
}

void
kh_doze_parted(struct kh_sandbox *sandbox)
{
    struct kh_broker_request request = {.type = KH_BROKER_HIBERNATE,
                                        .arg = sandbox->doze.keep};

    sandbox->phase = KH_PHASE_SAVING;
    memcpy(request.name, sandbox->record.name, sizeof(request.name));
    kh_broker_call(sandbox->gateway->broker, &request, on_hibernated, sandbox);
}

static bool
is_away(const struct kh_sandbox *sandbox)
{
    return sandbox->phase == KH_PHASE_PARTING || sandbox->phase == KH_PHASE_SAVING ||
           sandbox->phase == KH_PHASE_HIBERNATED || sandbox->phase == KH_PHASE_WAKING ||
           sandbox->phase == KH_PHASE_RETURNING;
}

int
kh_doze_keep(struct kh_sandbox *sandbox, const struct kh_frame *frame,
             struct kh_error *err)
{
    struct kh_doze *doze = &sandbox->doze;
    int r;

    if (!is_away(sandbox))
        return kh_fail(err, ENOTCONN, "sandbox '%s' is not connected",
                       sandbox->record.name);
    if (kh_buf_len(&doze->frames) + kh_frame_size(frame) > KEPT_MAX)
        return kh_fail(err, ENOBUFS, "too much waits for sandbox '%s' to wake",
                       sandbox->record.name);
    r = kh_frame_encode(frame, &doze->frames, err);
    doze->active = kh_sandbox_now(sandbox);
    doze->wanted = true;
    kh_doze_wake(sandbox);
    return r;
}

void
kh_doze_send_kept(struct kh_sandbox *sandbox)
{
    struct kh_buf frames = sandbox->doze.frames;
    struct kh_frame frame;
    long n;

    sandbox->doze.frames = KH_BUF_INIT;
    while ((n = kh_frame_decode(kh_buf_ptr(&frames), kh_buf_len(&frames), &frame,
                                NULL)) > 0) {
        kh_link_send(sandbox->link, &frame, NULL);
        kh_buf_consume(&frames, (size_t)n);
    }
    kh_buf_release(&frames);
}

/* ---- by wish ---- */

struct wish {
    struct kh_sandbox *sandbox;
    enum kh_sleep how;
    kh_sandbox_fn *fn;
    void *arg;
};

static int
may_sleep(const struct kh_sandbox *sandbox, enum kh_sleep how, struct kh_error *err)
{
    const char *why = kh_doze_occupation(sandbox);

    if (sandbox->phase == KH_PHASE_STOPPED)
        return kh_fail(err, EBUSY,
                       "sandbox '%s' is stopped (hint: kernelhost start %s)",
                       sandbox->record.name, sandbox->record.name);
    if (why)
        return kh_fail(
            err, EBUSY,
            "sandbox '%s' cannot stand still: %s (hint: interrupt it, or try "
            "again when it is done)",
            sandbox->record.name, why);
    if (how == KH_SLEEP_FREEZE && sandbox->phase == KH_PHASE_HIBERNATED)
        return kh_fail(err, EBUSY,
                       "sandbox '%s' is hibernated (hint: kernelhost wake %s)",
                       sandbox->record.name, sandbox->record.name);
    return 0;
}

static void
sleep_now(struct kh_sandbox *sandbox, enum kh_sleep how, kh_sandbox_fn *fn, void *arg)
{
    static const unsigned keep[] = {[KH_SLEEP_SAVE] = KH_HIBERNATE_KEEP,
                                    [KH_SLEEP_VOLATILE] =
                                        KH_HIBERNATE_KEEP | KH_HIBERNATE_VOLATILE};
    bool there = how == KH_SLEEP_FREEZE ? kh_sandbox_is_frozen(sandbox)
                                        : sandbox->phase == KH_PHASE_HIBERNATED;
    struct kh_error err = {0};

    if (may_sleep(sandbox, how, &err) < 0 || there) {
        fn(arg, err.code ? &err : NULL);
        return;
    }
    if (is_away(sandbox) && (how >= KH_SLEEP_SAVE || sandbox->doze.keep ||
                             sandbox->phase == KH_PHASE_RETURNING)) {
        kh_fail(&err, EBUSY, "sandbox '%s' is on its way (hint: try again)",
                sandbox->record.name);
        fn(arg, &err);
        return;
    }
    kh_sandbox_wait_for(&sandbox->sleeps, fn, arg);
    if (is_away(sandbox))
        return; /* it is going to sleep already */
    if (how == KH_SLEEP_FREEZE)
        kh_doze_freeze(sandbox);
    else
        kh_doze_part(sandbox, keep[how]);
}

static void
on_up(void *arg, const struct kh_error *err)
{
    struct wish *wish = arg;

    if (err)
        wish->fn(wish->arg, err);
    else
        sleep_now(wish->sandbox, wish->how, wish->fn, wish->arg);
    free(wish);
}

void
kh_sandbox_sleep(struct kh_sandbox *sandbox, enum kh_sleep how, kh_sandbox_fn *fn,
                 void *arg)
{
    struct wish *wish;

    if (sandbox->doze.freezing && how != KH_SLEEP_FREEZE) { /* it has yet to */
        wish = kh_xcalloc(1, sizeof(*wish));
        *wish = (struct wish){sandbox, how, fn, arg};
        kh_sandbox_wait_for(&sandbox->sleeps, on_up, wish);
        return;
    }
    /* Without a link nobody knows whether a cell runs. */
    if (sandbox->phase != KH_PHASE_AWAY && sandbox->phase != KH_PHASE_CONNECTING &&
        sandbox->phase != KH_PHASE_GREETING && sandbox->phase != KH_PHASE_STARTING &&
        sandbox->phase != KH_PHASE_WAKING) {
        sleep_now(sandbox, how, fn, arg);
        return;
    }
    wish = kh_xcalloc(1, sizeof(*wish));
    *wish = (struct wish){sandbox, how, fn, arg};
    kh_sandbox_up(sandbox, on_up, wish);
}

bool
kh_sandbox_is_awake(const struct kh_sandbox *sandbox)
{
    return sandbox->record.state == KH_SANDBOX_RUNNING ||
           sandbox->phase == KH_PHASE_WAKING;
}

const char *
kh_sandbox_problem(const struct kh_sandbox *sandbox)
{
    return sandbox->doze.problem[0] ? sandbox->doze.problem : NULL;
}
