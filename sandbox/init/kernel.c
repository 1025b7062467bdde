#include "sandbox/init/kernel.h"

#include <errno.h>
#include <string.h>

#include "base/clean.h"
#include "sandbox/init/action.h"
#include "sandbox/init/conn.h"

/* What the runner says stops at KH_JOURNAL_BYTES; what the gateway makes us say
 * (LOST) must end as well, were it to ask for ever without acknowledging. */
#define REFUSE_ABOVE (2 * KH_JOURNAL_BYTES)

int
kh_kernel_event(struct kh_kernel *kernel, enum kh_queue_event event,
                const struct kh_frame *frame, struct kh_error *err)
{
    const struct kh_queue_step *step = &kh_queue_table[kernel->state][event];

    kernel->state = step->next;
    return kh_action_run(kernel, step->action, frame, err);
}

/* ---- what the runner says ---- */

/* Puts a frame of the runner, as TYPE, into the journal. */
static void
put(struct kh_kernel *kernel, const struct kh_frame *from, uint16_t type)
{
    struct kh_frame frame = {.type = type,
                             .flags = from->flags,
                             .kernel = kernel->number,
                             .id = from->id,
                             .count = from->count};

    memcpy(frame.slice, from->slice, from->count * sizeof(*from->slice));
    kh_journal_add(&kernel->journal, &frame, NULL);
    kh_conn_news(
        type == KH_INIT_PUBLISH || type == KH_INIT_STREAM ? kh_frame_size(&frame) : 0);
}

static int
take_ready(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    (void)err;
    return kh_kernel_event(kernel, KH_QUEUE_READY, frame, NULL);
}

/* Output may belong to a request that is done (a thread that went on), but not
 * to one that never was. */
static int
take_output(struct kh_kernel *kernel, const struct kh_frame *frame,
            struct kh_error *err)
{
    bool stream = frame->type == KH_RUNNER_STREAM;

    if (frame->id > kernel->queue.last)
        return kh_fail(err, EBADMSG, "output of a request that does not exist");
    if (!stream && frame->flags)
        return kh_fail(err, EBADMSG, "unknown flags in a message");
    if (stream && frame->flags != KH_STREAM_STDOUT && frame->flags != KH_STREAM_STDERR)
        return kh_fail(err, EBADMSG, "unknown output stream");
    put(kernel, frame, stream ? KH_INIT_STREAM : KH_INIT_PUBLISH);
    return 0;
}

/* A second reply, or one to a request that is not open, would be answered to a
 * client twice: it ends here. */
static int
take_reply(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    const uint16_t stops = KH_REQUEST_EXECUTE | KH_REQUEST_STOP_ON_ERROR;
    struct kh_request *request = kh_queue_find(&kernel->queue, frame->id);

    if (frame->flags & ~KH_REPLY_ERROR)
        return kh_fail(err, EBADMSG, "unknown flags in a reply");
    if (!request || request->replied)
        return 0;
    request->replied = true;
    put(kernel, frame, KH_INIT_REPLY);
    if ((frame->flags & KH_REPLY_ERROR) && frame->id == kernel->queue.running &&
        (request->flags & stops) == stops)
        kh_kernel_event(kernel, KH_QUEUE_ERROR, NULL, NULL);
    return 0;
}

static int
take_done(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    (void)err;
    if (!kh_queue_find(&kernel->queue, frame->id))
        return 0;
    if (frame->id == kernel->queue.running)
        return kh_kernel_event(kernel, KH_QUEUE_DONE, frame, NULL);
    put(kernel, frame, KH_INIT_DONE);
    kh_queue_done(&kernel->queue, frame->id);
    return 0;
}

static int
take_forks(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    (void)frame;
    return kh_rollback_connect(kernel, err);
}

/* Slices: msg_type, metadata, content, then buffers. */
#define MESSAGE 3, KH_FRAME_SLICES_MAX

static const struct {
    uint16_t type;
    uint32_t least, most; /* slices */
    int (*take)(struct kh_kernel *, const struct kh_frame *, struct kh_error *);
} from_runner[] = {
    {KH_RUNNER_READY, 1, 1, take_ready},   {KH_RUNNER_PUBLISH, MESSAGE, take_output},
    {KH_RUNNER_STREAM, 1, 1, take_output}, {KH_RUNNER_REPLY, MESSAGE, take_reply},
    {KH_RUNNER_DONE, 0, 0, take_done},     {KH_RUNNER_FORKS, 0, 0, take_forks},
};

static int
take_frame(void *owner, const struct kh_frame *frame, struct kh_error *err)
{
    size_t i;

    for (i = 0; i < KH_COUNT(from_runner); i++) {
        if (from_runner[i].type != frame->type)
            continue;
        if (frame->count < from_runner[i].least || frame->count > from_runner[i].most)
            return kh_fail(err, EBADMSG, "frame of type %u with %u slices", frame->type,
                           frame->count);
        return from_runner[i].take(owner, frame, err);
    }
    return kh_fail(err, EBADMSG, "frame of unknown type %u", frame->type);
}

static void
take_text(void *owner, enum kh_stream stream, struct kh_slice text)
{
    struct kh_kernel *kernel = owner;
    struct kh_frame frame = {
        .flags = stream, .id = kernel->text_id, .count = 1, .slice = {text}};

    put(kernel, &frame, KH_INIT_STREAM);
}

static bool
room(void *owner)
{
    struct kh_kernel *kernel = owner;

    if (kh_journal_full(&kernel->journal))
        kernel->blocked = true;
    return !kernel->blocked;
}

static void
broken(void *owner, const char *why)
{
    struct kh_kernel *kernel = owner;

    kh_fail(&kernel->why, EBADMSG, "the runner broke its protocol: %s", why);
    kh_kernel_event(kernel, KH_QUEUE_BROKEN, NULL, NULL);
}

static void
closed(void *owner)
{
    kh_kernel_event(owner, KH_QUEUE_CLOSED, NULL, NULL);
}

static void
drained(void *owner)
{
    kh_kernel_event(owner, KH_QUEUE_DRAINED, NULL, NULL);
}

static const struct kh_runner_ops runner_ops = {
    .room = room,
    .text = take_text,
    .frame = take_frame,
    .broken = broken,
    .closed = closed,
    .drained = drained,
};

void
kh_kernel_init(struct kh_kernel *kernel, uint32_t number)
{
    *kernel = (struct kh_kernel){.number = number, .grace = KH_NEVER};
    kh_runner_init(&kernel->runner, &runner_ops, kernel);
}

void
kh_kernel_ended(struct kh_kernel *kernel, int status)
{
    kernel->status = (uint32_t)status;
    kh_kernel_event(kernel, KH_QUEUE_ENDED, NULL, NULL);
}

/* ---- what the gateway asks for ---- */

static int
check_journal(const struct kh_kernel *kernel, struct kh_error *err)
{
    if (kernel->journal.bytes <= REFUSE_ABOVE)
        return 0;
    return kh_fail(err, EAGAIN, "the journal of kernel %u is full (hint: ACK)",
                   kernel->number);
}

int
kh_kernel_start(struct kh_kernel *kernel, const struct kh_frame *frame,
                struct kh_error *err)
{
    struct kh_kind_plan plan;
    int r = check_journal(kernel, err);

    if (r < 0)
        return r;
    if (kernel->state == KH_QUEUE_NONE) {
        r = kh_kind_plan(&plan, frame->slice, err);
        if (r < 0)
            return r;
        kh_kind_plan_release(&kernel->plan);
        kernel->plan = plan;
        /* Nobody will ask again for what an earlier one with this number said. */
        kh_journal_ack(&kernel->journal, kernel->journal.last);
        kernel->blocked = false;
    }
    return kh_kernel_event(kernel, KH_QUEUE_START, frame, err);
}

int
kh_kernel_restart(struct kh_kernel *kernel, struct kh_error *err)
{
    int r = check_journal(kernel, err);

    return r < 0 ? r : kh_kernel_event(kernel, KH_QUEUE_RESTART, NULL, err);
}

int
kh_kernel_stop(struct kh_kernel *kernel, struct kh_error *err)
{
    return kh_kernel_event(kernel, KH_QUEUE_STOP, NULL, err);
}

int
kh_kernel_request(struct kh_kernel *kernel, const struct kh_frame *frame,
                  struct kh_error *err)
{
    bool control = frame->flags & KH_REQUEST_CONTROL;

    if (frame->id && frame->id <= kernel->queue.last)
        return 0;
    if (check_journal(kernel, err) < 0)
        return -err->code;
    return kh_kernel_event(kernel, control ? KH_QUEUE_CONTROL : KH_QUEUE_SHELL, frame,
                           err);
}

/* What the runner has said already counts: the request may be done. */
int
kh_kernel_interrupt(struct kh_kernel *kernel, uint64_t id, struct kh_error *err)
{
    kh_runner_resume(&kernel->runner);
    if (id && id != kernel->queue.running)
        return 0;
    return kh_kernel_event(kernel, KH_QUEUE_INTERRUPT, NULL, err);
}

void
kh_kernel_ack(struct kh_kernel *kernel, uint64_t seq)
{
    kh_journal_ack(&kernel->journal, seq);
    if (!kernel->blocked || !kh_journal_low(&kernel->journal))
        return;
    kernel->blocked = false;
    kh_runner_resume(&kernel->runner);
}

/* ---- time ---- */

uint64_t
kh_kernel_due(const struct kh_kernel *kernel)
{
    uint64_t due = kh_runner_due(&kernel->runner);
    uint64_t copy =
        kh_conn_stays() ? kh_checkpoints_due(&kernel->checkpoints) : KH_NEVER;

    due = due < copy ? due : copy;
    return due < kernel->grace ? due : kernel->grace;
}

void
kh_kernel_tick(struct kh_kernel *kernel, uint64_t now)
{
    if (kernel->grace <= now) {
        kernel->grace = KH_NEVER;
        kh_kernel_event(kernel, KH_QUEUE_GRACE, NULL, NULL);
    }
    if (kh_conn_stays())
        kh_checkpoints_tick(&kernel->checkpoints, now);
    kh_runner_tick(&kernel->runner, now);
}
