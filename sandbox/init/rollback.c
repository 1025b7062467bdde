#include "sandbox/init/rollback.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "protocol/link/runner.h"
#include "sandbox/init/checkpoint.h"
#include "sandbox/init/kernel.h"
#include "sandbox/init/session.h"

#define ABOUT_CHECKPOINTS                                                              \
    (KH_REQUEST_CHECKPOINT | KH_REQUEST_ROLLBACK | KH_REQUEST_OF_INIT)
#define NUMBER_SLICE 4 /* behind header, parent_header, metadata and content */

/* A killed process is taken off its processor at once; only if it is in the middle of
 * a system call that takes its time we wait for its end without holding up others. */
#define LOOKS      20
#define LOOK_NSEC  100000
#define NUMBER_MAX 8

bool
kh_rollback_fits(const struct kh_frame *frame)
{
    unsigned what = frame->flags & ABOUT_CHECKPOINTS;
    bool numbered = what == KH_REQUEST_ROLLBACK || what == KH_REQUEST_FORGET;
    bool control = frame->flags & KH_REQUEST_CONTROL;

    if (!what)
        return true;
    return !(what & (what - 1)) && !(frame->flags & KH_REQUEST_EXECUTE) &&
           control == ((what & KH_REQUEST_OF_INIT) != 0) &&
           (!numbered || (frame->count > NUMBER_SLICE &&
                          frame->slice[NUMBER_SLICE].size == NUMBER_MAX));
}

/* It fits, and waits with its frame. */
static uint64_t
number_of(const struct kh_request *request)
{
    const unsigned char *at;
    struct kh_frame frame;
    uint64_t number = 0;
    int i;

    if (kh_frame_decode(kh_buf_ptr(&request->frame), kh_buf_len(&request->frame),
                        &frame, NULL) <= 0 ||
        frame.count <= NUMBER_SLICE || frame.slice[NUMBER_SLICE].size != NUMBER_MAX)
        return 0;
    at = frame.slice[NUMBER_SLICE].data;
    for (i = 0; i < NUMBER_MAX; i++)
        number |= (uint64_t)at[i] << (8 * i);
    return number;
}

static void
say_none(struct kh_buf *content, uint64_t number)
{
    kh_buf_addf(content,
                "{\"status\":\"error\",\"ename\":\"NoSuchCheckpoint\",\"evalue\":\"the "
                "kernel has no checkpoint %llu\",\"traceback\":[]}",
                (unsigned long long)number);
}

bool
kh_rollback_answer(struct kh_kernel *kernel, const struct kh_request *request,
                   struct kh_buf *ret_content)
{
    struct kh_checkpoint *checkpoint;
    uint64_t number;

    if (request->flags & KH_REQUEST_CHECKPOINTS) {
        kh_checkpoints_list(&kernel->checkpoints, ret_content);
        return true;
    }
    number = number_of(request);
    checkpoint = kh_checkpoints_find(&kernel->checkpoints, number);
    if (!checkpoint) {
        say_none(ret_content, number);
        return false;
    }
    kh_checkpoint_drop(checkpoint);
    kh_buf_addf(ret_content, "{\"status\":\"ok\"}");
    return true;
}

bool
kh_rollback_begin(struct kh_kernel *kernel, const struct kh_request *request,
                  struct kh_buf *ret_content)
{
    kernel->rollback.to = number_of(request);
    if (kh_checkpoints_find(&kernel->checkpoints, kernel->rollback.to))
        return true;
    say_none(ret_content, kernel->rollback.to);
    return false;
}

/* ---- sessions of earlier runners ---- */

static void
drop_elder(struct kh_rollback *rollback, unsigned i)
{
    rollback->elders--;
    memmove(&rollback->elder[i], &rollback->elder[i + 1],
            (rollback->elders - i) * sizeof(rollback->elder[0]));
}

static void
add_elder(struct kh_rollback *rollback, pid_t session)
{
    if (rollback->elders == KH_ROLLBACK_ELDERS) {
        kh_session_kill(rollback->elder[0], true);
        drop_elder(rollback, 0);
    }
    rollback->elder[rollback->elders++] = session;
}

void
kh_rollback_end_elders(struct kh_kernel *kernel)
{
    struct kh_rollback *rollback = &kernel->rollback;

    while (rollback->elders) {
        kh_session_kill(rollback->elder[0], true);
        drop_elder(rollback, 0);
    }
}

static bool
wait_for_stop(pid_t pid)
{
    const struct timespec pause = {.tv_nsec = LOOK_NSEC};
    int i;

    for (i = 0; i < LOOKS; i++) {
        if (kh_session_runs_no_code(pid))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

bool
kh_rollback_kill(struct kh_kernel *kernel)
{
    struct kh_rollback *rollback = &kernel->rollback;
    struct kh_checkpoint *checkpoint =
        kh_checkpoints_find(&kernel->checkpoints, rollback->to);
    const struct kh_session_birth *since = checkpoint ? &checkpoint->birth : NULL;
    pid_t pid = kernel->runner.pid;
    unsigned i = 0;

    while (i < rollback->elders) {
        kh_session_kill_since(rollback->elder[i], true, since);
        if (kh_session_signal(rollback->elder[i], 0, 0))
            i++;
        else
            drop_elder(rollback, i);
    }
    kh_session_kill_since(pid, kernel->runner.ended, since);
    if (!kernel->runner.ended && !wait_for_stop(pid))
        return false;
    if (kh_session_signal(pid, 0, 0))
        add_elder(rollback, pid);
    return true;
}

int
kh_rollback_thaw(struct kh_kernel *kernel, struct kh_error *err)
{
    struct kh_checkpoint *checkpoint =
        kh_checkpoints_find(&kernel->checkpoints, kernel->rollback.to);

    if (!checkpoint)
        return kh_fail(err, EPIPE, "the checkpoint ended");
    return kh_checkpoint_thaw(checkpoint, &kernel->runner, err);
}

int
kh_rollback_connect(struct kh_kernel *kernel, struct kh_error *err)
{
    const struct kh_request *request =
        kh_queue_find(&kernel->queue, kernel->queue.running);
    struct kh_frame frame = {.type = KH_RUNNER_FORK, .count = 1};
    unsigned char gone[NUMBER_MAX];
    uint64_t dropped = 0;
    int i;
    struct kh_buf bytes = KH_BUF_INIT;
    struct kh_error why;
    AUTO_FD int fd = -1;
    bool given;

    if (!request || !(request->flags & KH_REQUEST_CHECKPOINT) ||
        kernel->rollback.connected == request->id)
        return kh_fail(err, EBADMSG, "nobody asked for a checkpoint");
    kernel->rollback.connected = request->id;
    given =
        kh_checkpoints_begin(&kernel->checkpoints, &fd, &frame.id, &dropped, &why) == 0;
    for (i = 0; i < NUMBER_MAX; i++)
        gone[i] = (unsigned char)(dropped >> (8 * i));
    frame.slice[0] = (struct kh_slice){gone, sizeof(gone)};
    kh_frame_encode(&frame, &bytes, NULL);
    if (!given || !kh_runner_pass(&kernel->runner, &bytes, fd))
        kh_runner_send(&kernel->runner, &bytes);
    kh_buf_release(&bytes);
    return 0;
}
