#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/position.h"
#include "kernelhost/gateway/registry.h"
#include "kernelhost/http/v1.h"
#include "protocol/jupyter/reply.h"
#include "protocol/link/runner.h"

/* Unread output of one client at which its kernel is held, and let go again; and
 * the time it then has to read some. */
#define WAITING_HIGH (8u * 1024 * 1024)
#define WAITING_LOW  (1u * 1024 * 1024)
#define STALL_MS     10000

#define CURSOR_DIGITS 20

/* One execution for one client. It ends with the idle of its request. */
struct run {
    struct kh_sink sink; /* first */
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    char name[KH_NAME_SIZE]; /* of the sandbox that is being made */
    struct kh_sandbox *sandbox;
    struct kh_kernel *kernel; /* NULL: not listening */
    struct kh_timer *stall;
    uint64_t number;
    char client[KH_LEDGER_CLIENT_SIZE]; /* what the client calls it; "": nothing */
    uint64_t written;                   /* bytes of lines */
    uint64_t told, told_at; /* position of the last one, and where it ends */
    uint64_t mark, mark_at; /* likewise of one before it */
    bool ending;            /* its last line was written */
    bool held;              /* the kernel, because the client does not read */
    bool gone;              /* the client, before the kernel was found */
    bool streaming;
    bool submitting;
    bool doomed; /* it ended while it was being submitted */
    char kernel_id[KH_UUID_SIZE];
    const char *language;
    unsigned flags;
    struct kh_buf content;
};

static void
let_go(struct run *run)
{
    if (!run->held)
        return;
    run->held = false;
    kh_timer_stop(run->stall);
    kh_kernel_hold(run->kernel, false);
}

static void
free_run(struct run *run)
{
    if (run->kernel) {
        let_go(run);
        kh_kernel_unlisten(run->kernel, &run->sink);
    }
    if (run->submitting) {
        run->doomed = true;
        run->kernel = NULL;
        return;
    }
    kh_timer_close(run->stall);
    kh_buf_release(&run->content);
    free(run);
}

static void
cut(struct run *run)
{
    struct kh_http_request *request = run->request;

    free_run(run);
    kh_http_abort(request);
}

static void
on_stall(void *arg)
{
    struct run *run = arg;

    kh_log(KH_LOG_WARN, "client of run cut because it does not read kernel=%s",
           kh_kernel_id(run->kernel));
    cut(run);
}

static void
on_drained(void *arg)
{
    struct run *run = arg;
    struct kh_http_request *request = run->request;

    if (run->ending && kh_http_sent(request) >= run->written) {
        free_run(run);
        kh_http_end(request);
        return;
    }
    if (!run->held)
        return;
    if (kh_http_waiting(request) < WAITING_LOW)
        let_go(run);
    else
        kh_timer_start(run->stall, STALL_MS, 0);
}

/* The client gets what the connection has taken, even if we are killed. */
static uint64_t
written_to(struct kh_sink *sink)
{
    struct run *run = (struct run *)sink;
    uint64_t sent = run->streaming ? kh_http_sent(run->request) : 0;
    uint64_t position = run->sink.after;

    if (!run->client[0] || sent >= run->told_at)
        return KH_POSITION_END;
    if (sent >= run->mark_at) {
        position = run->mark;
        run->mark = run->told;
        run->mark_at = run->told_at;
    }
    return position;
}

/* The cell goes on without its client. */
static void
on_gone(void *arg)
{
    struct run *run = arg;

    if (!run->kernel && !run->ending)
        run->gone = true;
    else
        cut(run);
}

/* Once the request has been accepted, or what it brings comes already. */
static void
begin_stream(struct run *run)
{
    if (!run->streaming)
        kh_http_stream(run->request, "application/x-ndjson", on_drained, run);
    run->streaming = true;
}

static void
on_message(struct kh_sink *sink, const struct kh_message *message)
{
    struct run *run = (struct run *)sink;
    struct kh_http_request *request = run->request;
    struct kh_buf line = KH_BUF_INIT;

    if (message->request != run->number || run->ending)
        return;
    begin_stream(run);
    kh_message_line(message, &line);
    kh_http_write(request, (struct kh_slice){kh_buf_ptr(&line), kh_buf_len(&line)});
    run->written += kh_buf_len(&line);
    run->told_at = run->written;
    if (message->position)
        run->told = message->position;
    kh_buf_release(&line);
    if (kh_message_is_idle(message)) {
        run->ending = true;
    } else if (!run->held && kh_http_waiting(request) > WAITING_HIGH) {
        run->held = true;
        kh_kernel_hold(run->kernel, true);
        kh_timer_start(run->stall, STALL_MS, 0);
    }
}

static void
on_kernel_gone(struct kh_sink *sink)
{
    struct run *run = (struct run *)sink;

    let_go(run);
    run->kernel = NULL;
    if (!run->ending) /* else all that it was to get is on its way */
        cut(run);
}

/* The header of an execute_request of our own. */
static void
make_header(struct kh_buf *out)
{
    struct kh_origin origin;

    kh_origin_init(&origin, "kernelhost");
    kh_origin_header(&origin, "execute_request", 0, out);
}

/* The kernel that was named, or the first; the client is told which. */
static int
choose_kernel(struct run *run, struct kh_kernel **ret_kernel, struct kh_error *err)
{
    int r =
        kh_v1_need_kernel(run->sandbox, run->kernel_id, run->language, ret_kernel, err);

    if (r == 0)
        kh_http_header(run->request, "Kernel-Id", kh_kernel_id(*ret_kernel));
    return r;
}

/* Looks for a request of this client in all kernels. -ENOENT when there is none that
 * could have been taken: then it is a new one. */
static int
resume(struct run *run, struct kh_error *err)
{
    struct kh_kernel *kernel = kh_sandbox_kernels(run->sandbox);
    bool cursor = run->sink.after;
    int r = -ENOENT;

    for (; kernel && run->client[0] && r == -ENOENT; kernel = kh_kernel_next(kernel)) {
        r = kh_kernel_resume(kernel, &run->sink, &run->number, err);
        if (r < 0)
            continue;
        run->kernel = kernel;
        kh_http_header(run->request, "Kernel-Id", kh_kernel_id(kernel));
        begin_stream(run);
    }
    if (r == -ENOENT && cursor)
        r = kh_fail(err, EBUSY, "the output of request '%s' is not kept any more",
                    run->client);
    return r;
}

static int
submit(struct run *run, struct kh_error *err)
{
    struct kh_buf header = KH_BUF_INIT;
    struct kh_kernel *kernel;
    int r;

    r = resume(run, err);
    if (r != -ENOENT)
        return r;
    r = choose_kernel(run, &kernel, err);
    if (r < 0)
        return r;
    run->kernel = kernel;
    make_header(&header);
    kh_kernel_listen(kernel, &run->sink);
    run->submitting = true;
    r = kh_kernel_submit(
        kernel, &run->sink, kh_schema_request("execute_request"), run->flags,
        (struct kh_slice){kh_buf_ptr(&header), kh_buf_len(&header)},
        (struct kh_slice){kh_buf_ptr(&run->content), kh_buf_len(&run->content)},
        &run->number, err);
    kh_buf_release(&header);
    run->submitting = false;
    if (run->doomed) {
        free_run(run);
        return 0;
    }
    if (r == 0)
        begin_stream(run);
    return r;
}

static void
on_up(void *arg, const struct kh_error *err)
{
    struct run *run = arg;
    struct kh_http_request *request = run->request;
    struct kh_error why;

    if (err)
        kh_v1_error(request, err);
    else if (run->gone)
        kh_v1_fail(request, 503, "unavailable", "the client has gone");
    else if (submit(run, &why) == 0)
        return;
    else
        kh_v1_error(request, &why);
    free_run(run);
}

/* Made for this run, or by somebody else a moment before. */
static void
on_created(void *arg, struct kh_sandbox *sandbox, const struct kh_error *err)
{
    struct run *run = arg;

    if (err && err->code == EEXIST)
        sandbox = kh_registry_find(run->gateway->registry, run->name);
    if (!sandbox) {
        on_up(run, err);
        return;
    }
    run->sandbox = sandbox;
    kh_sandbox_up(sandbox, on_up, run);
}

/* A sandbox that there is not yet, as "create" wants it. */
static void
create(const struct kh_v1_call *call, struct run *run, const json_t *object)
{
    struct kh_limits limits;
    struct kh_error err;
    const char *image;

    if (kh_v1_read_new(object, &image, &limits, &err) < 0) {
        kh_v1_error(call->request, &err);
        free_run(run);
        return;
    }
    snprintf(run->name, sizeof(run->name), "%s", call->name);
    kh_http_on_gone(call->request, on_gone, run);
    kh_registry_create(call->gateway->registry, call->name, image, &limits, on_created,
                       run);
}

/* "request" names it, "cursor" is that of the last line that came. */
static int
read_client(const json_t *body, struct run *run, struct kh_error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789-_";
    const char *client, *cursor;

    if (kh_v1_text(body, "request", sizeof(run->client) - 1, "", &client, err) < 0 ||
        kh_v1_text(body, "cursor", CURSOR_DIGITS, "", &cursor, err) < 0)
        return -err->code;
    if (client[strspn(client, plain)])
        return kh_fail(err, EINVAL,
                       "'request' must be letters, digits, hyphens and underscores");
    if (cursor[strspn(cursor, "0123456789")] || (*cursor && !*client))
        return kh_fail(err, EINVAL,
                       "'cursor' must be that of a line of this 'request'");
    snprintf(run->client, sizeof(run->client), "%s", client);
    run->sink.client = *client ? run->client : NULL;
    run->sink.after = *cursor ? strtoull(cursor, NULL, 10) : 0;
    run->mark = run->told = run->sink.after;
    return 0;
}

static int
read_body(const struct kh_v1_call *call, struct run *run, struct kh_error *err)
{
    const char *kernel, *language;
    const json_t *code = json_object_get(call->body, "code");
    bool history, stop;

    if (!json_is_string(code))
        return kh_fail(err, EINVAL, "'code' must be a text");
    if (kh_v1_text(call->body, "kernel", KH_UUID_SIZE - 1, "", &kernel, err) < 0 ||
        kh_v1_text(call->body, "language", 64, "python", &language, err) < 0 ||
        kh_v1_flag(call->body, "store_history", true, &history, err) < 0 ||
        kh_v1_flag(call->body, "stop_on_error", true, &stop, err) < 0)
        return -err->code;
    run->language = kh_v1_language(language);
    if (!run->language)
        return kh_fail(err, EINVAL, "'language' must be \"python\" for now");
    if (read_client(call->body, run, err) < 0)
        return -err->code;
    memcpy(run->kernel_id, kernel, strlen(kernel) + 1);
    run->flags = KH_REQUEST_EXECUTE | (stop ? KH_REQUEST_STOP_ON_ERROR : 0);
    kh_json_addf(&run->content,
                 "{\"code\":%S,\"silent\":false,\"store_history\":%b,"
                 "\"user_expressions\":{},\"allow_stdin\":false,\"stop_on_error\":%b}",
                 &(struct kh_slice){json_string_value(code), json_string_length(code)},
                 history, stop);
    return 0;
}

void
kh_v1_run(const struct kh_v1_call *call)
{
    const json_t *new = json_object_get(call->body, "create");
    struct kh_sandbox *sandbox;
    struct kh_error err;
    struct run *run;

    if (new && !json_is_object(new)) {
        kh_v1_fail(call->request, 400, "invalid", "'create' must be an object");
        return;
    }
    if (new && !kh_v1_may_name(call, call->name))
        return;
    sandbox = new ? kh_registry_find(call->gateway->registry, call->name)
                  : kh_v1_sandbox(call);
    if (!sandbox && !new)
        return;
    run = kh_xcalloc(1, sizeof(*run));
    run->sink.message = on_message;
    run->sink.gone = on_kernel_gone;
    run->sink.written = written_to;
    run->gateway = call->gateway;
    run->request = call->request;
    run->sandbox = sandbox;
    run->stall = kh_timer_new(call->gateway->loop, on_stall, run);
    if (read_body(call, run, &err) < 0) {
        kh_v1_error(call->request, &err);
        free_run(run);
        return;
    }
    if (!sandbox) {
        create(call, run, new);
        return;
    }
    kh_http_on_gone(call->request, on_gone, run);
    kh_sandbox_up(sandbox, on_up, run);
}
