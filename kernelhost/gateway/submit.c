/* submit: requests on their way to init, and the listeners' side of a kernel. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"
#include "protocol/link/init.h"

/* A request up to this size is kept until it has begun, to be sent again when the link
 * breaks. */
#define KH_AGAIN_MAX (64u * 1024)

/* Keeps an encoded frame until init can have it. */
static int
hold_frame(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    if (kh_buf_len(&kernel->held) + kh_frame_size(frame) > KH_HELD_MAX)
        return kh_fail(err, ENOBUFS, "too much waits for this kernel to start");
    return kh_frame_encode(frame, &kernel->held, err);
}

static int
pass_on(struct kh_kernel *kernel, struct kh_request *request,
        const struct kh_frame *frame, struct kh_error *err)
{
    enum kh_life_action action = kh_life_step(kernel->life, KH_LIFE_EV_WANTED).action;
    int r;

    if (action == KH_LIFE_REFUSE)
        return kh_fail(err, ECANCELED, "the kernel is dead (hint: restart it)");
    /* Behind what waits already: init takes no id below the highest it has seen. */
    if (action != KH_LIFE_SEND || kernel->ordered || kh_buf_len(&kernel->held) ||
        kh_kernel_recover_waits(kernel))
        return hold_frame(kernel, frame, err);
    r = kh_sandbox_send(kernel->sandbox, frame, err);
    if (r == -ENOTCONN) /* the link was lost just now and is made again */
        return hold_frame(kernel, frame, err);
    request->sent = r == 0;
    if (r == 0 && kh_frame_size(frame) <= KH_AGAIN_MAX)
        kh_frame_encode(frame, &request->frame, NULL);
    return r;
}

static void
note(struct kh_kernel *kernel, struct kh_request *request, const struct kh_schema *row,
     unsigned flags)
{
    struct kh_ledger *ledger = kernel->gateway->ledger;
    struct kh_ledger_request fields = {
        .kernel = kh_ledger_index(ledger, kernel->note),
        .id = request->id,
        .fd = (uint32_t)request->from.fd,
        .birth = request->from.birth,
        .flags = (uint16_t)flags,
        .channel = (uint8_t)request->channel,
        .sunk = request->sink != NULL,
        .ident_count = (uint8_t)request->ident_count,
    };

    if (request->sink && request->sink->client)
        snprintf(fields.client, sizeof(fields.client), "%s", request->sink->client);
    snprintf(fields.msg_type, sizeof(fields.msg_type), "%s", row->msg_type);
    request->note = kh_ledger_note(ledger, &fields, request->ident, request->header);
}

/* Numbers the request, notes it and gives it to init, or says why not. */
static int
enter(struct kh_kernel *kernel, const struct kh_asker *asker,
      const struct kh_schema *row, struct kh_frame *frame,
      struct kh_request **ret_request, struct kh_error *err)
{
    struct kh_request *request;
    int r;

    frame->type = KH_INIT_REQUEST;
    frame->kernel = kernel->number;
    frame->id = ++kernel->gateway->last_number;
    r = kh_requests_add(kernel->requests, frame->id, asker->channel, row, asker->ident,
                        asker->ident_count, asker->header, &request, err);
    if (r < 0)
        return r;
    request->sink = asker->sink;
    request->from = asker->from;
    note(kernel, request, row, frame->flags);
    r = pass_on(kernel, request, frame, err);
    if (r < 0) {
        *ret_request = request;
        return r;
    }
    kernel->warm = false;
    kernel->note->warm = 0;
    kh_kernel_touch(kernel);
    *ret_request = request;
    kh_kernel_step(kernel, KH_LIFE_EV_WANTED, NULL);
    return 0;
}

void
kh_kernel_take(struct kh_kernel *kernel, const struct kh_asker *asker,
               const struct kh_schema *row, struct kh_frame *frame)
{
    struct kh_request *request = NULL;
    struct kh_error err;

    if (enter(kernel, asker, row, frame, &request, &err) == 0)
        return;
    if (request) {
        kh_answer_lost(kernel, request, "KernelUnavailable", err.text);
        return;
    }
    kh_tell_state(kernel, asker, "busy");
    kh_answer_failed(kernel, asker, row, "KernelUnavailable", err.text);
    kh_tell_state(kernel, asker, "idle");
}

/* A request of a sink; FRAME has flags and what follows its parent. */
static int
submit(struct kh_kernel *kernel, struct kh_sink *sink, const struct kh_schema *row,
       struct kh_slice header, struct kh_frame *frame, uint64_t *ret_number,
       struct kh_error *err)
{
    bool control = frame->flags & KH_REQUEST_CONTROL;
    struct kh_asker asker = {.channel = control ? KH_CHANNEL_CONTROL : KH_CHANNEL_SHELL,
                             .header = header,
                             .sink = sink};
    struct kh_request *request = NULL;
    int r;

    frame->slice[0] = header;
    frame->slice[1] = kh_slice_text("{}");
    frame->slice[2] = kh_slice_text("{}");
    if (ret_number) /* before anything can be said about it */
        *ret_number = kernel->gateway->last_number + 1;
    r = enter(kernel, &asker, row, frame, &request, err);
    if (r < 0 && request)
        kh_kernel_finish(kernel, request);
    return r;
}

int
kh_kernel_submit(struct kh_kernel *kernel, struct kh_sink *sink,
                 const struct kh_schema *row, unsigned flags, struct kh_slice header,
                 struct kh_slice content, uint64_t *ret_number, struct kh_error *err)
{
    struct kh_frame frame = {.flags = (uint16_t)flags, .count = 4};

    frame.slice[3] = content;
    return submit(kernel, sink, row, header, &frame, ret_number, err);
}

int
kh_kernel_ask(struct kh_kernel *kernel, struct kh_sink *sink, const char *msg_type,
              unsigned flags, struct kh_slice content, uint64_t checkpoint,
              uint64_t *ret_number, struct kh_error *err)
{
    bool numbered = flags & (KH_REQUEST_ROLLBACK | KH_REQUEST_FORGET);
    struct kh_frame frame = {.flags = (uint16_t)flags, .count = numbered ? 5 : 4};
    struct kh_buf header = KH_BUF_INIT;
    struct kh_origin origin;
    unsigned char number[8];
    int i, r;

    for (i = 0; i < 8; i++)
        number[i] = (unsigned char)(checkpoint >> (8 * i));
    kh_origin_init(&origin, "kernelhost");
    kh_origin_header(&origin, msg_type, 0, &header);
    frame.slice[3] = content.size ? content : kh_slice_text("{}");
    frame.slice[4] = (struct kh_slice){number, sizeof(number)};
    r = submit(kernel, sink, kh_schema_request(msg_type),
               (struct kh_slice){kh_buf_ptr(&header), kh_buf_len(&header)}, &frame,
               ret_number, err);
    kh_buf_release(&header);
    return r;
}

bool
kh_kernel_runs(const struct kh_kernel *kernel)
{
    return kh_life_step(kernel->life, KH_LIFE_EV_WANTED).action == KH_LIFE_SEND;
}

bool
kh_kernel_executes(const struct kh_kernel *kernel)
{
    const struct kh_request *request =
        kernel->running ? kh_requests_find(kernel->requests, kernel->last_request)
                        : NULL;

    return request && request->row &&
           !strcmp(request->row->msg_type, "execute_request");
}

void
kh_kernel_listen(struct kh_kernel *kernel, struct kh_sink *sink)
{
    sink->next = kernel->sinks;
    kernel->sinks = sink;
}

/* It has all it wanted, or went away: nobody comes for the rest. */
static void
forget_client(struct kh_kernel *kernel, const struct kh_sink *sink)
{
    struct kh_request *request = kh_requests_first(kernel->requests);
    size_t i;

    if (!sink->client)
        return;
    for (; request; request = request->next)
        if (request->sink == sink && request->note)
            request->note->sunk = 0;
    for (i = 0; i < kernel->done_count; i++)
        if (!strcmp(kernel->done[i]->client, sink->client))
            kernel->done[i]->sunk = 0;
}

void
kh_kernel_unlisten(struct kh_kernel *kernel, struct kh_sink *sink)
{
    struct kh_sink **at = &kernel->sinks;

    while (*at && *at != sink)
        at = &(*at)->next;
    if (*at)
        *at = sink->next;
    sink->next = NULL;
    if (!kernel->gateway->ending)
        forget_client(kernel, sink);
    kh_requests_drop_sink(kernel->requests, sink);
}

void
kh_kernel_hold(struct kh_kernel *kernel, bool hold)
{
    if (hold) {
        kernel->holds++;
        return;
    }
    kernel->holds--;
    kh_kernel_pace(kernel);
}

static unsigned
count_sinks(const struct kh_kernel *kernel)
{
    const struct kh_sink *sink;
    unsigned count = 0;

    for (sink = kernel->sinks; sink; sink = sink->next)
        count++;
    return count;
}

void
kh_kernel_view(const struct kh_kernel *kernel, struct kh_kernel_view *ret_view)
{
    bool busy = kernel->life == KH_LIFE_READY && kernel->running;

    ret_view->execution_state = busy ? "busy" : kh_life_name(kernel->life);
    kh_date_text(kernel->last_activity.tv_sec, kernel->last_activity.tv_nsec,
                 ret_view->last_activity);
    ret_view->connections = count_sinks(kernel);
    if (kernel->channels)
        ret_view->connections += kh_channels_peers(kernel->channels);
    ret_view->execution_count = kernel->execution_count;
}

void
kh_kernel_own(struct kh_kernel *kernel, const struct kh_kernel_owner *owner)
{
    kernel->owner = *owner;
    kernel->owned = true;
}

const char *
kh_kernel_id(const struct kh_kernel *kernel)
{
    return kernel->id;
}

uint32_t
kh_kernel_number(const struct kh_kernel *kernel)
{
    return kernel->number;
}

const char *
kh_kernel_language(const struct kh_kernel *kernel)
{
    return kernel->language;
}

struct kh_sandbox *
kh_kernel_sandbox(const struct kh_kernel *kernel)
{
    return kernel->sandbox;
}

bool
kh_kernel_works(const struct kh_kernel *kernel)
{
    return kh_requests_count(kernel->requests) ||
           (kernel->life != KH_LIFE_READY && kernel->life != KH_LIFE_STOPPED &&
            kernel->life != KH_LIFE_DEAD);
}

bool
kh_kernel_usable(const struct kh_kernel *kernel)
{
    return kernel->life != KH_LIFE_ENDING;
}

void
kh_kernel_set_warm(struct kh_kernel *kernel)
{
    kernel->warm = true;
    kernel->note->warm = 1;
}

struct kh_kernel *
kh_kernel_next(const struct kh_kernel *kernel)
{
    return kernel->next;
}

void
kh_kernel_set_next(struct kh_kernel *kernel, struct kh_kernel *next)
{
    kernel->next = next;
}

bool
kh_kernel_claim(struct kh_kernel *kernel)
{
    bool warm = kernel->warm;

    kernel->warm = false;
    kernel->note->warm = 0;
    return warm;
}

void
kh_kernel_sleeps_on(struct kh_kernel *kernel, const char *why)
{
    if (kernel->life == KH_LIFE_READY)
        kh_kernel_lose_requests(kernel, true, "KernelUnavailable", why);
    else
        kh_kernel_down(kernel, why);
}
