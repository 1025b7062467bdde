#include "sandbox/init/action.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "sandbox/init/entry.h"
#include "sandbox/init/session.h"
#include "sandbox/init/spawn.h"

#define COULD_NOT_START 0xffffffffu

/* One step of a kernel: the arguments of every action. */
struct step {
    struct kh_kernel *kernel;
    const struct kh_frame *frame; /* that caused the event, or NULL */
    struct kh_error *err;
};

/* Tells the fate of all requests of one sort. */
static void
lose(struct kh_kernel *kernel, enum kh_queue_which which, enum kh_lost why)
{
    struct kh_request *request;

    while ((request = kh_queue_take(&kernel->queue, which))) {
        kh_entry_lost(kernel, request->id, request->aborted ? KH_LOST_ABORTED : why);
        kh_request_free(request);
    }
}

/* ---- actions ---- */

static int
do_nothing(struct step *step)
{
    (void)step;
    return 0;
}

static int
do_refuse(struct step *step)
{
    const struct kh_kernel *kernel = step->kernel;

    if (kernel->state == KH_QUEUE_NONE)
        return kh_fail(step->err, ENOENT, "there is no kernel %u", kernel->number);
    return kh_fail(step->err, EBUSY, "kernel %u is there and %s", kernel->number,
                   kh_queue_state_names[kernel->state]);
}

static int
do_spawn(struct step *step)
{
    struct kh_kernel *kernel = step->kernel;

    kh_checkpoints_drop(&kernel->checkpoints);
    kh_rollback_end_elders(kernel);
    kh_session_kill(kernel->runner.pid, true);
    kernel->incarnation++;
    kernel->text_id = 0;
    kernel->grace = KH_NEVER;
    kernel->why.code = 0;
    kernel->status = 0;
    kh_entry_state(kernel, KH_KERNEL_STARTING, NULL, 0);
    if (kh_runner_start(&kernel->runner, &kernel->plan.run, &kernel->why) == 0)
        return 0;
    kernel->status = COULD_NOT_START;
    return kh_kernel_event(kernel, KH_QUEUE_ENDED, NULL, NULL);
}

/* Adds the request of this step to the queue; false when it was lost instead. */
static bool
add_request(struct step *step)
{
    struct kh_kernel *kernel = step->kernel;
    struct kh_frame frame = {.type = KH_RUNNER_REQUEST,
                             .flags = step->frame->flags,
                             .id = step->frame->id,
                             .count = step->frame->count};
    struct kh_buf buf = KH_BUF_INIT;

    if (!kh_queue_room(&kernel->queue, kh_frame_size(step->frame))) {
        kernel->queue.last = frame.id;
        kh_entry_lost(kernel, frame.id, KH_LOST_FULL);
        return false;
    }
    memcpy(frame.slice, step->frame->slice, frame.count * sizeof(*frame.slice));
    kh_frame_encode(&frame, &buf, NULL);
    kh_queue_add(&kernel->queue, frame.id, frame.flags, &buf);
    return true;
}

static void
send_to_runner(struct kh_kernel *kernel, struct kh_request *request)
{
    kh_runner_send(&kernel->runner, &request->frame);
    kh_buf_release(&request->frame);
}

static void
answer(struct kh_kernel *kernel, struct kh_request *request)
{
    bool list = request->flags & KH_REQUEST_CHECKPOINTS;
    struct kh_buf content = KH_BUF_INIT;
    bool fine = kh_rollback_answer(kernel, request, &content);

    kh_entry_reply(kernel, request->id, list ? "checkpoints_reply" : "forget_reply",
                   fine, &content);
    kh_buf_release(&content);
    kh_entry_id(kernel, KH_INIT_DONE, request->id);
    kh_queue_done(&kernel->queue, request->id);
}

static void
hand_over(struct kh_kernel *kernel, struct kh_request *request)
{
    kh_entry_id(kernel, KH_INIT_BEGIN, request->id);
    if (request->flags & KH_REQUEST_OF_INIT)
        answer(kernel, request);
    else
        send_to_runner(kernel, request);
}

static int
next(struct kh_kernel *kernel)
{
    return kh_queue_waits(&kernel->queue)
               ? kh_kernel_event(kernel, KH_QUEUE_NEXT, NULL, NULL)
               : 0;
}

static int
do_enqueue(struct step *step)
{
    return add_request(step) ? next(step->kernel) : 0;
}

static int
do_lose(struct step *step)
{
    step->kernel->queue.last = step->frame->id;
    kh_entry_lost(step->kernel, step->frame->id, KH_LOST_DIED);
    return 0;
}

static void
pass_controls(struct kh_kernel *kernel)
{
    struct kh_request *request;

    while ((request = kh_queue_hand(&kernel->queue, true)))
        hand_over(kernel, request);
}

static int
do_pass(struct step *step)
{
    if (add_request(step))
        pass_controls(step->kernel);
    return 0;
}

/* Its request keeps its frame until the checkpoint can have it. */
static int
roll_back(struct kh_kernel *kernel, struct kh_request *request)
{
    struct kh_frame done = {.type = KH_RUNNER_DONE, .id = request->id};
    struct kh_buf content = KH_BUF_INIT;
    bool fine;

    kh_entry_id(kernel, KH_INIT_BEGIN, request->id);
    fine = kh_rollback_begin(kernel, request, &content);
    if (!fine)
        kh_entry_reply(kernel, request->id, "rollback_reply", false, &content);
    kh_buf_release(&content);
    return fine ? kh_kernel_event(kernel, KH_QUEUE_ROLLBACK, NULL, NULL)
                : kh_kernel_event(kernel, KH_QUEUE_DONE, &done, NULL);
}

static int
do_hand(struct step *step)
{
    struct kh_kernel *kernel = step->kernel;
    struct kh_request *request = kh_queue_hand(&kernel->queue, false);

    if (!request)
        return 0; /* next() looked */
    kernel->text_id = request->id;
    kernel->interrupts = 0;
    if (request->flags & KH_REQUEST_ROLLBACK)
        return roll_back(kernel, request);
    hand_over(kernel, request);
    return 0;
}

/* The first SIGINT goes where a terminal would send it: to the runner's process
 * group, that is the runner and what the cell started in the ordinary way. Only
 * when that did not end the request, the next one also reaches groups that a
 * job-control shell made in the same session. */
static int
do_signal(struct step *step)
{
    struct kh_runner *runner = &step->kernel->runner;

    kh_runner_signal(runner, SIGINT);
    if (step->kernel->interrupts++ && !runner->ended)
        kh_session_signal(runner->pid, SIGINT, runner->pid);
    return 0;
}

static int
do_announce(struct step *step)
{
    kh_entry_state(step->kernel, KH_KERNEL_READY, step->frame->slice, 1);
    pass_controls(step->kernel);
    return next(step->kernel);
}

static int
do_abort(struct step *step)
{
    kh_queue_abort(&step->kernel->queue);
    return 0;
}

/* Those aborted are told after the DONE of the one that failed, as ipykernel
 * does: so the status messages of two requests never interleave. */
static int
do_finish(struct step *step)
{
    struct kh_frame done = {.type = KH_INIT_DONE, .id = step->frame->id};

    kh_entry_put(step->kernel, &done);
    kh_queue_done(&step->kernel->queue, step->frame->id);
    lose(step->kernel, KH_QUEUE_ABORTED, KH_LOST_ABORTED);
    return next(step->kernel);
}

static int
do_grace(struct step *step)
{
    step->kernel->grace = kh_now() + KH_KERNEL_GRACE;
    return 0;
}

static int
do_forget(struct step *step)
{
    lose(step->kernel, KH_QUEUE_WAITING, KH_LOST_RESTART);
    return 0;
}

/* A running cell is interrupted first, as jupyter_client does: the runner then
 * comes to read the SHUTDOWN. */
static int
do_shutdown(struct step *step)
{
    struct kh_frame frame = {.type = KH_RUNNER_SHUTDOWN};
    struct kh_buf buf = KH_BUF_INIT;

    kh_frame_encode(&frame, &buf, NULL);
    kh_runner_send(&step->kernel->runner, &buf);
    kh_buf_release(&buf);
    if (step->kernel->queue.running)
        kh_runner_signal(&step->kernel->runner, SIGINT);
    return do_grace(step);
}

static int
do_renew(struct step *step)
{
    do_forget(step);
    return do_shutdown(step);
}

static int
do_kill(struct step *step)
{
    const struct kh_runner *runner = &step->kernel->runner;

    step->kernel->grace = KH_NEVER;
    kh_session_kill(runner->pid, runner->ended);
    return 0;
}

static int
do_drain(struct step *step)
{
    kh_runner_ended(&step->kernel->runner);
    return 0;
}

static int
do_bury(struct step *step)
{
    struct kh_kernel *kernel = step->kernel;
    struct kh_slice slices[2];
    unsigned char status[4];
    int i;

    kernel->grace = KH_NEVER;
    if (kh_spawn_failed(kernel->runner.error_fd, &kernel->why))
        kernel->status = COULD_NOT_START;
    if (kernel->why.code == ENOENT && kernel->plan.hint) {
        size_t used = strlen(kernel->why.text);

        snprintf(kernel->why.text + used, sizeof(kernel->why.text) - used,
                 " (hint: %s)", kernel->plan.hint);
    }
    kh_fd_close(&kernel->runner.error_fd);
    for (i = 0; i < 4; i++)
        status[i] = (unsigned char)(kernel->status >> (8 * i));
    slices[0] = (struct kh_slice){status, sizeof(status)};
    slices[1] = kh_slice_text(kernel->why.text);
    kh_checkpoints_drop(&kernel->checkpoints);
    lose(kernel, KH_QUEUE_HANDED, KH_LOST_DIED);
    lose(kernel, KH_QUEUE_WAITING, KH_LOST_DIED);
    kh_entry_state(kernel, KH_KERNEL_DEAD, slices, kernel->why.code ? 2 : 1);
    return 0;
}

static int
do_replace(struct step *step)
{
    lose(step->kernel, KH_QUEUE_HANDED, KH_LOST_RESTART);
    return do_spawn(step);
}

static int
do_remove(struct step *step)
{
    struct kh_kernel *kernel = step->kernel;

    do_bury(step);
    kh_rollback_end_elders(kernel);
    kh_session_kill(kernel->runner.pid, true);
    kernel->runner.pid = 0;
    kernel->incarnation = 0;
    kh_queue_release(&kernel->queue);
    kh_kind_plan_release(&kernel->plan);
    return 0;
}

/* Control requests that the runner was given go with it. */
static void
lose_controls(struct kh_kernel *kernel)
{
    struct kh_request *request = kernel->queue.handed, *after;

    for (; request; request = after) {
        after = request->next;
        if (request->id == kernel->queue.running)
            continue;
        kh_entry_lost(kernel, request->id, KH_LOST_RESTART);
        kh_queue_done(&kernel->queue, request->id);
    }
}

static int
do_roll(struct step *step)
{
    lose_controls(step->kernel);
    if (kh_rollback_kill(step->kernel))
        kh_kernel_ended(step->kernel, 0);
    return 0;
}

static int
do_thaw(struct step *step)
{
    struct kh_kernel *kernel = step->kernel;

    kernel->grace = kh_now() + KH_ROLLBACK_GRACE;
    kernel->why.code = 0;
    if (kh_rollback_thaw(kernel, &kernel->why) == 0)
        return 0;
    kernel->status = COULD_NOT_START;
    return kh_kernel_event(kernel, KH_QUEUE_ENDED, NULL, NULL);
}

static int
do_resume(struct step *step)
{
    struct kh_kernel *kernel = step->kernel;
    struct kh_request *request = kh_queue_find(&kernel->queue, kernel->queue.running);

    kernel->grace = KH_NEVER;
    if (request)
        send_to_runner(kernel, request);
    pass_controls(kernel);
    return 0;
}

static int (*const actions[KH_QUEUE_ACTIONS])(struct step *) = {
    [KH_QUEUE_DO_NOTHING] = do_nothing,   [KH_QUEUE_DO_REFUSE] = do_refuse,
    [KH_QUEUE_DO_SPAWN] = do_spawn,       [KH_QUEUE_DO_ENQUEUE] = do_enqueue,
    [KH_QUEUE_DO_LOSE] = do_lose,         [KH_QUEUE_DO_PASS] = do_pass,
    [KH_QUEUE_DO_HAND] = do_hand,         [KH_QUEUE_DO_SIGNAL] = do_signal,
    [KH_QUEUE_DO_ANNOUNCE] = do_announce, [KH_QUEUE_DO_ABORT] = do_abort,
    [KH_QUEUE_DO_FINISH] = do_finish,     [KH_QUEUE_DO_RENEW] = do_renew,
    [KH_QUEUE_DO_FORGET] = do_forget,     [KH_QUEUE_DO_SHUTDOWN] = do_shutdown,
    [KH_QUEUE_DO_GRACE] = do_grace,       [KH_QUEUE_DO_KILL] = do_kill,
    [KH_QUEUE_DO_DRAIN] = do_drain,       [KH_QUEUE_DO_BURY] = do_bury,
    [KH_QUEUE_DO_REPLACE] = do_replace,   [KH_QUEUE_DO_REMOVE] = do_remove,
    [KH_QUEUE_DO_ROLL] = do_roll,         [KH_QUEUE_DO_THAW] = do_thaw,
    [KH_QUEUE_DO_RESUME] = do_resume,
};

int
kh_action_run(struct kh_kernel *kernel, enum kh_queue_action action,
              const struct kh_frame *frame, struct kh_error *err)
{
    struct step step = {.kernel = kernel, .frame = frame, .err = err};

    return actions[action](&step);
}
