#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"
#include "protocol/jupyter/reply.h"

#define NOTHING ((struct kh_slice){NULL, 0})

static struct kh_slice
slice_of(const struct kh_buf *buf)
{
    return (struct kh_slice){kh_buf_ptr(buf), kh_buf_len(buf)};
}

struct kh_asker
kh_asker_of(const struct kh_request *request)
{
    return (struct kh_asker){.channel = request->channel,
                             .header = request->header,
                             .ident = request->ident,
                             .ident_count = request->ident_count,
                             .sink = request->sink,
                             .request = request->id,
                             .from = request->from};
}

static void
log_unsent(struct kh_kernel *kernel, const struct kh_message *message,
           const struct kh_error *err)
{
    if (kernel->bad++)
        return;
    kh_log(KH_LOG_WARN, "message not sent kernel=%s type=%s why=%s", kernel->id,
           message->msg_type, err->text);
}

/* A sink may take itself off while it is called, but no other. */
static void
to_sinks(struct kh_kernel *kernel, const struct kh_message *message)
{
    struct kh_sink *sink, *next;

    for (sink = kernel->sinks; sink; sink = next) {
        next = sink->next;
        if (!message->position || message->position > sink->after)
            sink->message(sink, message);
    }
}

/* iopub without regard to gathered text. */
static int
put(struct kh_kernel *kernel, struct kh_message *message)
{
    struct kh_buf header = KH_BUF_INIT;
    struct kh_error err;
    int r = 0;

    message->channel = KH_CHANNEL_IOPUB;
    kh_origin_header(&kernel->origin, message->msg_type, message->position, &header);
    message->header = slice_of(&header);
    if (message->position)
        kernel->note->published = message->position;
    if (kernel->channels && (!message->position || message->position > kernel->skip))
        r = kh_channels_send(kernel->channels, message, NULL, 0, &err);
    if (r < 0)
        log_unsent(kernel, message, &err);
    to_sinks(kernel, message);
    kh_buf_release(&header);
    if (kernel->channels && kh_channels_waiting(kernel->channels) > KH_CHANNELS_HIGH)
        kernel->crowded = true;
    return r;
}

static void
put_stderr(struct kh_kernel *kernel, uint64_t request, const char *text)
{
    struct kh_buf content = KH_BUF_INIT;
    struct kh_message message = {.msg_type = "stream",
                                 .request = request,
                                 .position = kh_kernel_position(kernel),
                                 .parent_header =
                                     kh_requests_parent(kernel->requests, request)};

    kh_reply_stream(&content, "stderr", kh_slice_text(text));
    message.content = slice_of(&content);
    put(kernel, &message);
    kh_buf_release(&content);
}

void
kh_tell(struct kh_kernel *kernel, uint64_t request, struct kh_slice parent,
        const char *msg_type, struct kh_slice metadata, struct kh_slice content,
        const struct kh_slice *buffer, size_t buffer_count)
{
    struct kh_message message = {.msg_type = msg_type,
                                 .request = request,
                                 .position = kh_kernel_position(kernel),
                                 .parent_header = parent,
                                 .metadata = metadata,
                                 .content = content,
                                 .buffer = buffer,
                                 .buffer_count = buffer_count};

    kh_coalesce_flush(&kernel->coalesce, kh_loop_now(kernel->gateway->loop));
    if (!parent.size)
        message.parent_header = kh_requests_parent(kernel->requests, request);
    if (put(kernel, &message) == -EMSGSIZE)
        put_stderr(kernel, request,
                   "an output was too large to be sent to Jupyter clients\n");
}

void
kh_tell_state(struct kh_kernel *kernel, const struct kh_asker *asker,
              const char *execution_state)
{
    struct kh_buf content = KH_BUF_INIT;

    if (asker && asker->channel == KH_CHANNEL_STDIN)
        return; /* an answer is part of the execution that asked */
    kh_reply_state(&content, execution_state);
    kh_tell(kernel, asker ? asker->request : 0, asker ? asker->header : NOTHING,
            "status", NOTHING, slice_of(&content), NULL, 0);
    kh_buf_release(&content);
}

void
kh_emit_stream(void *arg, uint64_t request, enum kh_stream stream, struct kh_slice text)
{
    struct kh_kernel *kernel = arg;
    struct kh_buf content = KH_BUF_INIT;
    struct kh_message message = {
        .msg_type = "stream", .request = request, .position = kernel->coalesce.end};

    kh_reply_stream(&content, stream == KH_STREAM_STDERR ? "stderr" : "stdout", text);
    message.parent_header = kh_requests_parent(kernel->requests, request);
    message.content = slice_of(&content);
    put(kernel, &message);
    kh_buf_release(&content);
}

void
kh_tell_stderr(struct kh_kernel *kernel, uint64_t request, const char *text)
{
    kh_coalesce_flush(&kernel->coalesce, kh_loop_now(kernel->gateway->loop));
    put_stderr(kernel, request, text);
}

void
kh_answer(struct kh_kernel *kernel, const struct kh_asker *asker, const char *msg_type,
          struct kh_slice metadata, struct kh_slice content,
          const struct kh_slice *buffer, size_t buffer_count)
{
    struct kh_message message = {.channel = asker->channel,
                                 .msg_type = msg_type,
                                 .request = asker->request,
                                 .position = kh_kernel_position(kernel),
                                 .parent_header = asker->header,
                                 .metadata = metadata,
                                 .content = content,
                                 .buffer = buffer,
                                 .buffer_count = buffer_count};
    struct kh_buf header = KH_BUF_INIT;
    struct kh_error err;

    kh_coalesce_flush(&kernel->coalesce, kh_loop_now(kernel->gateway->loop));
    kh_origin_header(&kernel->origin, msg_type, message.position, &header);
    message.header = slice_of(&header);
    if (asker->sink) {
        if (!message.position || message.position > asker->sink->after)
            asker->sink->message(asker->sink, &message);
    } else if (kernel->channels && asker->ident_count) {
        if (kh_channels_send(kernel->channels, &message, asker->ident,
                             asker->ident_count, &err) < 0)
            log_unsent(kernel, &message, &err);
        else
            kh_kernel_replied(kernel, asker, message.position);
    }
    kh_buf_release(&header);
}

void
kh_answer_failed(struct kh_kernel *kernel, const struct kh_asker *asker,
                 const struct kh_schema *row, const char *ename, const char *evalue)
{
    struct kh_buf content = KH_BUF_INIT;
    bool info = row && !strcmp(row->msg_type, "kernel_info_request");
    bool alive = kernel->returning ||
                 (kernel->life != KH_LIFE_DEAD && kernel->life != KH_LIFE_STOPPED &&
                  kernel->life != KH_LIFE_ENDING);

    if (!row || !row->reply)
        return;
    /* Clients cannot read one that fails, and ask again until they get an answer:
     * from a kernel that comes back it is what is known of it anyway. */
    if (info && !alive)
        return;
    if (info)
        kh_reply_kernel_info(&content, kernel->language);
    else
        kh_reply_failed(&content, row->msg_type, ename, evalue,
                        kernel->execution_count);
    kh_answer(kernel, asker, row->reply, NOTHING, slice_of(&content), NULL, 0);
    kh_buf_release(&content);
}

static void
answer_aborted(struct kh_kernel *kernel, const struct kh_asker *asker,
               const struct kh_schema *row)
{
    struct kh_buf content = KH_BUF_INIT;

    if (!row || !row->reply)
        return;
    kh_reply_aborted(&content, kernel->execution_count);
    kh_answer(kernel, asker, row->reply, NOTHING, slice_of(&content), NULL, 0);
    kh_buf_release(&content);
}

void
kh_answer_lost(struct kh_kernel *kernel, struct kh_request *request, const char *ename,
               const char *evalue)
{
    struct kh_asker asker = kh_asker_of(request);

    kh_coalesce_end(&kernel->coalesce, kh_loop_now(kernel->gateway->loop));
    if (!request->begun)
        kh_tell_state(kernel, &asker, "busy");
    else if (request->channel == KH_CHANNEL_SHELL)
        kernel->running--;
    if (!request->replied && ename)
        kh_answer_failed(kernel, &asker, request->row, ename, evalue);
    else if (!request->replied)
        answer_aborted(kernel, &asker, request->row);
    kh_tell_state(kernel, &asker, "idle");
    kh_kernel_finish(kernel, request);
}
