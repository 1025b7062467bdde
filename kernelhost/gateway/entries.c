/* entries: reading the journal of one kernel.
 *
 * Every entry comes from a sandbox that may be hostile. A wrong number breaks the
 * link; a message of the runner that does not fit the schema is dropped (the
 * first one of a kernel is logged), and a request that gets a wrong reply, or
 * none, is answered by us.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/metering.h"
#include "protocol/jupyter/reply.h"
#include "protocol/link/init.h"

/* What init may send beyond its last acknowledged entry: its own limit and the
 * frames that pass it. */
#define UNACKED_MAX (KH_JOURNAL_BYTES + 2u * KH_FRAME_MAX)

/* 1 for one that came before, as long as that may be: where an earlier kernel with that
 * number was attached, init says how this one starts at once, and again. */
static int
check_number(struct kh_kernel *kernel, const struct kh_frame *frame,
             struct kh_error *err)
{
    if (!kernel->attached)
        return kh_fail(err, EBADMSG, "journal of kernel %u was not asked for",
                       kernel->number);
    if (kernel->starts && frame->seq && frame->seq <= kernel->seq)
        return 1;
    if (!frame->seq || (kernel->seq && frame->seq != kernel->seq + 1))
        return kh_fail(err, EBADMSG, "journal of kernel %u goes from %llu to %llu",
                       kernel->number, (unsigned long long)kernel->seq,
                       (unsigned long long)frame->seq);
    kernel->unacked += kh_frame_size(frame);
    if (kernel->unacked > UNACKED_MAX)
        return kh_fail(err, EBADMSG, "journal of kernel %u is over its limit",
                       kernel->number);
    kernel->seq = frame->seq;
    kernel->part = 0;
    return 0;
}

static uint64_t
now(const struct kh_kernel *kernel)
{
    return kh_loop_now(kernel->gateway->loop);
}

static void
drop(struct kh_kernel *kernel, const char *what, const struct kh_error *why)
{
    char text[200];

    if (kernel->bad++)
        return;
    kh_log(KH_LOG_WARN, "message of the runner dropped kernel=%s what=%s why=%s",
           kernel->id, what,
           kh_log_clean(why->text, strlen(why->text), text, sizeof(text)));
}

/* kernel_info comes with READY; one that is wrong is replaced by ours. */
static void
take_info(struct kh_kernel *kernel, const struct kh_frame *frame)
{
    const struct kh_schema *row;
    struct kh_error err;

    kh_buf_release(&kernel->info);
    if (frame->count &&
        kh_schema_check(KH_CHANNEL_SHELL, kh_slice_text("kernel_info_reply"),
                        (struct kh_slice){NULL, 0}, frame->slice[0], 0, &row,
                        &err) == 0) {
        kh_buf_add(&kernel->info, frame->slice[0].data, frame->slice[0].size);
        return;
    }
    if (frame->count)
        drop(kernel, "kernel_info", &err);
    kh_reply_kernel_info(&kernel->info, kernel->language);
}

static void
take_death(struct kh_kernel *kernel, const struct kh_frame *frame)
{
    uint32_t status = KH_STATUS_UNKNOWN;

    if (frame->count && frame->slice[0].size == 4) {
        const unsigned char *at = frame->slice[0].data;

        status = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                 (uint32_t)at[3] << 24;
    }
    kernel->death = (struct kh_death){.status = status};
    kernel->death_reason[0] = '\0';
    if (frame->count > 1)
        kh_log_clean(frame->slice[1].data, frame->slice[1].size, kernel->death_reason,
                     sizeof(kernel->death_reason));
    kernel->death.reason = kernel->death_reason;
}

/* What follows from a death is said when the host has been asked about it: until
 * then init keeps what told of it. */
static void
owe(struct kh_kernel *kernel)
{
    if (!kernel->owed)
        kernel->owed = kernel->seq;
}

static int
on_state(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    switch (frame->flags) {
    case KH_KERNEL_STARTING:
        kh_kernel_step(kernel, KH_LIFE_EV_STARTED, NULL);
        return 0;
    case KH_KERNEL_READY:
        take_info(kernel, frame);
        kernel->note->life[0].ready = kernel->seq;
        kernel->starts = false;
        kh_kernel_step(kernel, KH_LIFE_EV_READY, NULL);
        return 0;
    case KH_KERNEL_DEAD:
        take_death(kernel, frame);
        kernel->note->life[0].died = kernel->seq;
        owe(kernel);
        kh_kernel_step(kernel, KH_LIFE_EV_DIED, NULL);
        return 0;
    default:
        return kh_fail(err, EBADMSG, "kernel %u has state %u", kernel->number,
                       frame->flags);
    }
}

static int
on_begin(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    struct kh_request *request = kh_requests_find(kernel->requests, frame->id);
    struct kh_asker asker;

    (void)err;
    if (!request || request->begun)
        return 0;
    asker = kh_asker_of(request);
    request->begun = true;
    kh_buf_release(&request->frame);
    if (request->note)
        request->note->begun = kh_position(kernel->seq, 0);
    if (request->channel == KH_CHANNEL_SHELL) {
        kernel->last_request = request->id;
        kernel->running++;
    }
    kh_tell_state(kernel, &asker, "busy");
    return 0;
}

static void
note_count(struct kh_kernel *kernel, struct kh_slice content)
{
    static const char *const names[] = {"execution_count"};
    struct kh_json_value value;
    int64_t count;

    if (kh_json_find(content, names, 1, &value, NULL) == 0 &&
        kh_json_integer(value, 0, INT32_MAX, &count) == 0)
        kernel->execution_count = kernel->note->life[0].execution_count = count;
}

/* A question goes to who asked for the execution, and to nobody else; to nobody if the
 * execution is over or came by the API. */
static void
put_question(struct kh_kernel *kernel, const struct kh_frame *frame,
             const struct kh_schema *row)
{
    const struct kh_request *request = kh_requests_find(kernel->requests, frame->id);
    struct kh_asker asker;

    if (!request || request->sink || request->channel != KH_CHANNEL_SHELL)
        return;
    asker = kh_asker_of(request);
    asker.channel = KH_CHANNEL_STDIN;
    asker.from = (struct kh_route_mark){0}; /* of its connection for stdin */
    kh_answer(kernel, &asker, row->msg_type, frame->slice[1], frame->slice[2], NULL, 0);
}

static int
on_publish(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    const struct kh_schema *row = kh_schema_kernel(frame->slice[0]);
    bool asks = row && (row->channels & 1u << KH_CHANNEL_STDIN);
    struct kh_error why;

    (void)err;
    if (kh_schema_check(asks ? KH_CHANNEL_STDIN : KH_CHANNEL_IOPUB, frame->slice[0],
                        frame->slice[1], frame->slice[2], frame->count - 3, &row,
                        &why) < 0) {
        drop(kernel, "publish", &why);
        return 0;
    }
    if (asks) {
        put_question(kernel, frame, row);
        return 0;
    }
    if (!strcmp(row->msg_type, "execute_input"))
        note_count(kernel, frame->slice[2]);
    kh_tell(kernel, frame->id, (struct kh_slice){NULL, 0}, row->msg_type,
            frame->slice[1], frame->slice[2], frame->slice + 3, frame->count - 3);
    return 0;
}

/* Where in this entry, behind FROM and not behind TO, somebody's part begins: those who
 * have what is before it must not get it in one message with the rest. */
static size_t
next_mark(const struct kh_kernel *kernel, size_t from, size_t to, bool *ret_marked)
{
    const struct kh_sink *sink;
    uint64_t mark = kernel->skip;

    *ret_marked = false;
    for (sink = kernel->sinks;; sink = sink->next) {
        if (kh_position_seq(mark) == kernel->seq && kh_position_part(mark) > from &&
            kh_position_part(mark) <= to) {
            to = (size_t)kh_position_part(mark);
            *ret_marked = true;
        }
        if (!sink)
            return to;
        mark = sink->after;
    }
}

static void
feed(struct kh_kernel *kernel, uint64_t request, enum kh_stream stream,
     struct kh_slice text)
{
    const char *data = text.data;
    size_t at = 0;

    while (at < text.size) {
        bool marked;
        size_t end = next_mark(kernel, at, text.size, &marked);

        kernel->coalesce.next = kh_position(kernel->seq, at);
        kh_coalesce_feed(&kernel->coalesce, now(kernel), request, stream,
                         (struct kh_slice){data + at, end - at});
        if (marked)
            kh_coalesce_flush(&kernel->coalesce, now(kernel));
        at = end;
    }
}

static int
on_stream(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    if (frame->flags != KH_STREAM_STDOUT && frame->flags != KH_STREAM_STDERR)
        return kh_fail(err, EBADMSG, "kernel %u prints on stream %u", kernel->number,
                       frame->flags);
    feed(kernel, frame->id, (enum kh_stream)frame->flags, frame->slice[0]);
    return 0;
}

/* The reply must be of the type the request asks for, and right. */
static int
check_reply(const struct kh_request *request, const struct kh_frame *frame,
            const struct kh_schema **ret_row, struct kh_error *err)
{
    int r = kh_schema_check(request->channel, frame->slice[0], frame->slice[1],
                            frame->slice[2], frame->count - 3, ret_row, err);

    if (r < 0)
        return r;
    if (!request->row || !request->row->reply ||
        strcmp(request->row->reply, (*ret_row)->msg_type))
        return kh_fail(err, EBADMSG, "'%s' is no reply to this request",
                       (*ret_row)->msg_type);
    return 0;
}

static int
on_reply(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    struct kh_request *request = kh_requests_find(kernel->requests, frame->id);
    const struct kh_schema *row;
    struct kh_asker asker;
    struct kh_error why;

    (void)err;
    if (!request || request->replied)
        return 0;
    request->replied = true;
    asker = kh_asker_of(request);
    if (request->note)
        request->note->replied = kh_position(kernel->seq, 1);
    if (check_reply(request, frame, &row, &why) < 0) {
        drop(kernel, "reply", &why);
        kh_answer_failed(kernel, &asker, request->row, "KernelError",
                         "the kernel's reply was not valid");
        return 0;
    }
    if (!strcmp(row->msg_type, "execute_reply") ||
        !strcmp(row->msg_type, "rollback_reply")) {
        note_count(kernel, frame->slice[2]);
    }
    if (!strcmp(row->msg_type, "execute_reply"))
        kh_metering_count(kernel->note, kernel->seq, frame->slice[1]);
    kh_answer(kernel, &asker, row->msg_type, frame->slice[1], frame->slice[2],
              frame->slice + 3, frame->count - 3);
    return 0;
}

static int
on_done(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    struct kh_request *request = kh_requests_find(kernel->requests, frame->id);

    (void)err;
    if (request)
        kh_answer_lost(kernel, request, "KernelError", "the kernel sent no reply");
    return 0;
}

/* LOST(DIED) comes before STATE dead; the answers wait for what the host knows
 * about the death. */
static int
on_lost(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    static const struct {
        const char *ename, *evalue;
    } words[] = {
        [KH_LOST_ABORTED] = {NULL, NULL},
        [KH_LOST_DIED] = {"KernelDied", "the kernel died"},
        [KH_LOST_RESTART] = {"KernelRestarted", "the kernel was restarted"},
        [KH_LOST_FULL] = {"KernelBusy", "too many requests wait for this kernel"},
    };
    struct kh_request *request = kh_requests_find(kernel->requests, frame->id);
    bool dying = kernel->life == KH_LIFE_STARTING || kernel->life == KH_LIFE_READY ||
                 kernel->life == KH_LIFE_DYING;

    if (frame->flags < KH_LOST_ABORTED || frame->flags > KH_LOST_FULL)
        return kh_fail(err, EBADMSG, "kernel %u loses a request by %u", kernel->number,
                       frame->flags);
    if (request && frame->flags == KH_LOST_DIED && dying)
        owe(kernel);
    else if (request)
        kh_answer_lost(kernel, request, words[frame->flags].ename,
                       words[frame->flags].evalue);
    return 0;
}

int
kh_kernel_entry(struct kh_kernel *kernel, const struct kh_frame *frame,
                struct kh_error *err)
{
    static const struct {
        enum kh_init_type type;
        int (*take)(struct kh_kernel *kernel, const struct kh_frame *frame,
                    struct kh_error *err);
    } table[] = {
        {KH_INIT_STATE, on_state},     {KH_INIT_BEGIN, on_begin},
        {KH_INIT_PUBLISH, on_publish}, {KH_INIT_STREAM, on_stream},
        {KH_INIT_REPLY, on_reply},     {KH_INIT_DONE, on_done},
        {KH_INIT_LOST, on_lost},
    };
    size_t i;
    int r;

    if (kernel->fresh &&
        (frame->type != KH_INIT_STATE || frame->flags != KH_KERNEL_STARTING))
        return 0;
    kernel->fresh = false;
    r = check_number(kernel, frame, err);
    if (r != 0)
        return r < 0 ? r : 0;
    kh_kernel_touch(kernel);
    for (i = 0; i < KH_COUNT(table); i++)
        if (table[i].type == frame->type) {
            kernel->in_entry = true;
            r = table[i].take(kernel, frame, err);
            kernel->in_entry = false;
            return r;
        }
    return kh_fail(err, EBADMSG, "journal entry has type %u", frame->type);
}

/* init would not have a frame of ours: what it was for has failed. */
void
kh_kernel_refused(struct kh_kernel *kernel, const struct kh_frame *frame)
{
    struct kh_request *request;

    kernel->fresh = false;
    if (frame->flags == KH_INIT_REQUEST) {
        request = kh_requests_find(kernel->requests, frame->id);
        if (request)
            kh_answer_lost(kernel, request, "KernelUnavailable",
                           "the sandbox refused the request");
    } else if (frame->flags == KH_INIT_KERNEL_STOP) {
        kh_kernel_step(kernel, KH_LIFE_EV_DIED, NULL);
    } else if (frame->flags == KH_INIT_KERNEL_START ||
               frame->flags == KH_INIT_KERNEL_RESTART) {
        kh_kernel_step(kernel, KH_LIFE_EV_DOWN, "the sandbox refused to start it");
    }
}
