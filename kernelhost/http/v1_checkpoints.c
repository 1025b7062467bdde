/* v1_checkpoints: what a kernel can be rolled back to. The kernel's init keeps it; each
 * call is a request to the kernel whose reply becomes the answer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/http/v1.h"
#include "protocol/jupyter/jsontree.h"
#include "protocol/link/runner.h"

#define REPLY_MAX   (1u << 20)
#define NUMBER_BASE 10
#define DIGITS_MAX  10

/* A request whose reply is awaited. */
struct call {
    struct kh_sink sink; /* first */
    struct kh_http_request *request;
    struct kh_kernel *kernel;
    char sandbox[KH_NAME_SIZE];
    uint64_t number;     /* of the request */
    uint64_t checkpoint; /* that it is about, or 0 */
    bool asking;         /* kh_kernel_ask has not returned */
    bool ended;
    json_t *content; /* of the reply; NULL: not there yet */
    /* Answers with what the kernel has replied. */
    void (*answer)(const struct call *call, const json_t *content);
};

static void
end(struct call *call)
{
    call->ended = true;
    if (call->kernel)
        kh_kernel_unlisten(call->kernel, &call->sink);
    call->kernel = NULL;
    json_decref(call->content);
    call->content = NULL;
    if (!call->asking)
        free(call);
}

/* ---- what a reply says; every value is the sandbox's ---- */

static void
copy_text(json_t *to, const json_t *from, const char *name)
{
    const json_t *text = json_object_get(from, name);

    json_object_set_new(
        to, name, json_string(json_is_string(text) ? json_string_value(text) : ""));
}

static void
copy_integer(json_t *to, const json_t *from, const char *name)
{
    const json_t *value = json_object_get(from, name);

    if (json_is_integer(value))
        json_object_set_new(to, name, json_integer(json_integer_value(value)));
}

static json_t *
lost_json(const json_t *lost)
{
    json_t *array = json_array();
    const json_t *from;
    size_t i;

    json_array_foreach(lost, i, from)
    {
        json_t *to = json_object();

        copy_text(to, from, "what");
        copy_text(to, from, "name");
        copy_text(to, from, "why");
        copy_integer(to, from, "fd");
        copy_integer(to, from, "pid");
        json_array_append_new(array, to);
    }
    return array;
}

static json_t *
checkpoint_json(json_int_t id, const json_t *about)
{
    double seconds = json_number_value(json_object_get(about, "created"));
    json_t *to = json_pack("{s:I}", "id", id);
    char date[KH_DATE_SIZE];

    copy_text(to, about, "label");
    if (seconds > 0 && seconds < 1e11) {
        kh_date_text((int64_t)seconds,
                     (long)((seconds - (double)(int64_t)seconds) * 1e9), date);
        json_object_set_new(to, "created", json_string(date));
    }
    copy_integer(to, about, "execution_count");
    json_object_set_new(to, "lost", lost_json(json_object_get(about, "lost")));
    return to;
}

static void
answer_new(const struct call *call, const json_t *content)
{
    json_t *body = checkpoint_json(json_integer_value(json_object_get(content, "id")),
                                   json_object_get(content, "about"));

    copy_integer(body, content, "dropped");
    kh_v1_reply(call->request, 201, body);
}

static void
answer_list(const struct call *call, const json_t *content)
{
    json_t *array = json_array();
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(content, "checkpoints"), i, one)
        json_array_append_new(
            array, checkpoint_json(json_integer_value(json_object_get(one, "id")),
                                   json_object_get(one, "about")));
    kh_v1_reply(call->request, 200, json_pack("{s:o}", "checkpoints", array));
}

static void
answer_rollback(const struct call *call, const json_t *content)
{
    kh_v1_reply(call->request, 200,
                checkpoint_json((json_int_t)call->checkpoint,
                                json_object_get(content, "about")));
}

static void
answer_removed(const struct call *call, const json_t *content)
{
    (void)content;
    kh_v1_empty(call->request);
}

static void
answer_failed(const struct call *call, const json_t *content)
{
    static const char earlier[] = " (hint: a sandbox that an earlier version has "
                                  "started cannot: kernelhost stop ";
    static const struct {
        const char *ename;
        unsigned status;
        const char *code;
        const char *hint, *more; /* before the sandbox's name, and behind it */
    } table[] = {
        {"CheckpointRefused", 409, "conflict", NULL, NULL},
        {"NoSuchCheckpoint", 404, "not_found", " (hint: kernelhost checkpoints ",
         " lists them)"},
        {"KernelDied", 409, "conflict", NULL, NULL},
        {"KernelRestarted", 409, "conflict", NULL, NULL},
        {"KernelError", 409, "conflict", earlier, ", then start it)"},
        {"KernelUnavailable", 503, "unavailable", earlier, ", then start it)"},
        {NULL, 503, "unavailable", NULL, NULL},
    };
    const char *ename = json_string_value(json_object_get(content, "ename"));
    const char *evalue = json_string_value(json_object_get(content, "evalue"));
    size_t i = 0;

    while (table[i].ename && (!ename || strcmp(table[i].ename, ename) != 0))
        i++;
    kh_v1_fail(call->request, table[i].status, table[i].code, "%.400s%s%s%s",
               evalue ? evalue : "the kernel did not answer",
               table[i].hint ? table[i].hint : "", table[i].hint ? call->sandbox : "",
               table[i].hint ? table[i].more : "");
}

/* ---- asking ---- */

/* The kernel is through with it when it is idle again: then the next one can come. */
static void
on_idle(struct call *call)
{
    const char *status = json_string_value(json_object_get(call->content, "status"));

    if (status && !strcmp(status, "ok"))
        call->answer(call, call->content);
    else
        answer_failed(call, call->content);
    end(call);
}

static void
on_message(struct kh_sink *sink, const struct kh_message *message)
{
    struct call *call = (struct call *)sink;
    struct kh_error err;

    if (message->request != call->number)
        return;
    if (kh_message_is_idle(message))
        on_idle(call);
    else if (message->channel != KH_CHANNEL_IOPUB && !call->content)
        kh_jsontree_parse(message->content, REPLY_MAX, &call->content, &err);
}

static void
on_kernel_gone(struct kh_sink *sink)
{
    struct call *call = (struct call *)sink;

    call->kernel = NULL;
    kh_v1_fail(call->request, 503, "unavailable", "the kernel has gone");
    end(call);
}

static void
on_client_gone(void *arg)
{
    struct call *call = arg;

    kh_http_abort(call->request);
    end(call);
}

struct question {
    const char *msg_type;
    unsigned flags;
    struct kh_slice content;
    uint64_t checkpoint;
    void (*answer)(const struct call *call, const json_t *content);
};

static void
ask(const struct kh_v1_call *v1, struct kh_kernel *kernel,
    const struct question *question)
{
    struct call *call = kh_xcalloc(1, sizeof(*call));
    struct kh_error err;
    int r;

    call->sink.message = on_message;
    call->sink.gone = on_kernel_gone;
    call->request = v1->request;
    call->kernel = kernel;
    memcpy(call->sandbox, v1->name, sizeof(call->sandbox));
    call->checkpoint = question->checkpoint;
    call->answer = question->answer;
    call->asking = true;
    kh_http_on_gone(v1->request, on_client_gone, call);
    kh_kernel_listen(kernel, &call->sink);
    r = kh_kernel_ask(kernel, &call->sink, question->msg_type, question->flags,
                      question->content, question->checkpoint, &call->number, &err);
    call->asking = false;
    if (call->ended) {
        free(call);
    } else if (r < 0) {
        kh_v1_error(call->request, &err);
        end(call);
    }
}

/* The kernel of the call if it has an interpreter; answers else. */
static struct kh_kernel *
running_kernel(const struct kh_v1_call *v1)
{
    struct kh_kernel *kernel = kh_v1_kernel(v1);

    if (kernel && !kh_kernel_runs(kernel)) {
        kh_v1_fail(v1->request, 409, "conflict",
                   "the kernel does not run: it has no state (hint: kernelhost run %s)",
                   v1->name);
        return NULL;
    }
    return kernel;
}

/* The number of the call's checkpoint; answers if it cannot be one. */
static uint64_t
number_of(const struct kh_v1_call *v1)
{
    size_t length = strlen(v1->item);
    uint64_t number = 0;

    if (length <= DIGITS_MAX && strspn(v1->item, "0123456789") == length)
        number = strtoull(v1->item, NULL, NUMBER_BASE);
    if (!number)
        kh_v1_fail(v1->request, 400, "invalid",
                   "a checkpoint's id is a number, 1 or higher");
    return number;
}

void
kh_v1_checkpoints(const struct kh_v1_call *v1)
{
    struct kh_kernel *kernel = kh_v1_kernel(v1);

    if (!kernel)
        return;
    if (!kh_kernel_runs(kernel)) /* they went with its interpreter */
        kh_v1_reply(v1->request, 200, json_pack("{s:[]}", "checkpoints"));
    else
        ask(v1, kernel,
            &(struct question){"checkpoints_request",
                               KH_REQUEST_CONTROL | KH_REQUEST_CHECKPOINTS,
                               {NULL, 0},
                               0,
                               answer_list});
}

void
kh_v1_checkpoint_new(const struct kh_v1_call *v1)
{
    struct kh_kernel *kernel = running_kernel(v1);
    struct kh_buf content = KH_BUF_INIT;
    const char *label;
    struct kh_error err;
    bool files;

    if (!kernel)
        return;
    if (kh_v1_flag(v1->body, "files", false, &files, &err) == 0 && files) {
        kh_v1_point_new(v1);
        return;
    }
    if (kh_v1_flag(v1->body, "files", false, &files, &err) < 0 ||
        kh_v1_text(v1->body, "label", (KH_LABEL_SIZE - 1), "", &label, &err) < 0) {
        kh_v1_error(v1->request, &err);
        return;
    }
    kh_json_addf(&content, "{\"label\":%s}", label);
    ask(v1, kernel,
        &(struct question){"checkpoint_request",
                           KH_REQUEST_CHECKPOINT,
                           {kh_buf_ptr(&content), kh_buf_len(&content)},
                           0,
                           answer_new});
    kh_buf_release(&content);
}

void
kh_v1_checkpoint_remove(const struct kh_v1_call *v1)
{
    struct kh_kernel *kernel = running_kernel(v1);
    uint64_t number = kernel ? number_of(v1) : 0;

    if (number)
        ask(v1, kernel,
            &(struct question){"forget_request",
                               KH_REQUEST_CONTROL | KH_REQUEST_FORGET,
                               {NULL, 0},
                               number,
                               answer_removed});
}

void
kh_v1_checkpoint_rollback(const struct kh_v1_call *v1)
{
    struct kh_kernel *kernel = running_kernel(v1);
    uint64_t number = kernel ? number_of(v1) : 0;
    struct kh_error err;
    bool files;

    if (!number)
        return;
    if (kh_v1_flag(v1->body, "files", false, &files, &err) < 0)
        kh_v1_error(v1->request, &err);
    else if (files)
        kh_v1_fail(v1->request, 400, "invalid",
                   "this is a checkpoint of the kernel alone, and holds no files "
                   "(hint: roll the "
                   "sandbox back to one of its own)");
    else if (kh_kernel_executes(kernel))
        kh_v1_fail(v1->request, 409, "conflict",
                   "the kernel is busy (hint: wait for the cell, or interrupt it)");
    else
        ask(v1, kernel,
            &(struct question){"rollback_request",
                               KH_REQUEST_ROLLBACK,
                               {NULL, 0},
                               number,
                               answer_rollback});
}
