#include "kernelhost/http/v1.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "kernelhost/gateway/registry.h"
#include "protocol/jupyter/jsontree.h"

#define JSON_TYPE "application/json"

void
kh_v1_reply(struct kh_http_request *request, unsigned status, json_t *body)
{
    struct kh_buf out = KH_BUF_INIT;

    kh_jsontree_dump(body, &out);
    kh_buf_add(&out, "\n", 1);
    kh_http_reply(request, status, JSON_TYPE,
                  (struct kh_slice){kh_buf_ptr(&out), kh_buf_len(&out)});
    kh_buf_release(&out);
    json_decref(body);
}

void
kh_v1_empty(struct kh_http_request *request)
{
    kh_http_reply(request, 204, NULL, (struct kh_slice){NULL, 0});
}

static void
fail(struct kh_http_request *request, unsigned status, const char *code,
     const char *message)
{
    struct kh_buf out = KH_BUF_INIT;

    kh_json_addf(&out, "{\"message\":%s,\"code\":%s}\n", message, code);
    kh_http_reply(request, status, JSON_TYPE,
                  (struct kh_slice){kh_buf_ptr(&out), kh_buf_len(&out)});
    kh_buf_release(&out);
}

void
kh_v1_fail(struct kh_http_request *request, unsigned status, const char *code,
           const char *format, ...)
{
    char message[KH_ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    fail(request, status, code, message);
}

/* What stands for an errno value. */
struct meaning {
    int code;
    unsigned status;
    const char *name;
};

static const struct meaning *
find_meaning(int code)
{
    static const struct meaning table[] = {
        {EINVAL, 400, "invalid"},
        {EBADMSG, 400, "invalid"},
        {ERANGE, 400, "invalid"},
        {E2BIG, 400, "invalid"},
        {ENAMETOOLONG, 400, "invalid"},
        {EADDRNOTAVAIL, 400, "invalid"},
        {ENOENT, 404, "not_found"},
        {EEXIST, 409, "exists"},
        {EBUSY, 409, "conflict"},
        {ECANCELED, 409, "conflict"},
        {EADDRINUSE, 409, "conflict"},
        {EMSGSIZE, 413, "too_large"},
        {EDQUOT, 403, "quota"},
        {ENOTSUP, 501, "unsupported"},
        {ENOBUFS, 503, "unavailable"},
        {EAGAIN, 503, "unavailable"},
        {ENOTCONN, 503, "unavailable"},
        {EPIPE, 503, "unavailable"},
        {ECONNREFUSED, 503, "unavailable"},
        {ETIMEDOUT, 503, "unavailable"},
        {ENOSPC, 507, "full"},
        {EMFILE, 507, "full"},
        {ENOMEM, 507, "full"},
        {EUSERS, 507, "full"},
    };
    static const struct meaning other = {0, 500, "internal"};
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++)
        if (table[i].code == code)
            return &table[i];
    return &other;
}

void
kh_v1_error(struct kh_http_request *request, const struct kh_error *err)
{
    const struct meaning *meaning = find_meaning(err->code);

    if (meaning->status == 500)
        kh_log(KH_LOG_ERROR, "request failed path=%s why=%s", kh_http_path(request),
               err->text);
    fail(request, meaning->status, meaning->name, err->text);
}

json_t *
kh_v1_error_json(const struct kh_error *err)
{
    return json_pack("{s:s, s:s}", "message", err->text, "code",
                     find_meaning(err->code)->name);
}

struct kh_sandbox *
kh_v1_sandbox(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox;

    if (!kh_name_valid(call->name)) {
        kh_v1_fail(call->request, 400, "invalid", "a sandbox name is " KH_NAME_RULE);
        return NULL;
    }
    sandbox = kh_registry_find(call->gateway->registry, call->name);
    if (!sandbox)
        kh_v1_fail(
            call->request, 404, "not_found",
            "there is no sandbox '%s' (hint: kernelhost ls lists them, kernelhost "
            "create %s makes it)",
            call->name, call->name);
    return sandbox;
}

struct kh_sandbox *
kh_v1_outcome(struct kh_gateway *gateway, struct kh_http_request *request,
              const char *name, const struct kh_error *err)
{
    struct kh_sandbox *sandbox;

    if (err && err->code) {
        kh_v1_error(request, err);
        return NULL;
    }
    sandbox = kh_registry_find(gateway->registry, name);
    if (!sandbox)
        kh_v1_fail(request, 404, "not_found", "there is no sandbox '%s'", name);
    return sandbox;
}

struct kh_kernel *
kh_v1_kernel(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);
    struct kh_kernel *kernel;
    char id[2 * KH_V1_ID_SIZE];

    if (!sandbox)
        return NULL;
    kernel = kh_sandbox_kernel(sandbox, call->id);
    if (!kernel)
        kh_v1_fail(call->request, 404, "not_found", "sandbox '%s' has no kernel '%s'",
                   call->name,
                   kh_log_clean(call->id, strlen(call->id), id, sizeof(id)));
    return kernel;
}

int
kh_v1_text(const json_t *body, const char *name, size_t max, const char *preset,
           const char **ret_text, struct kh_error *err)
{
    const json_t *value = json_object_get(body, name);

    if (!value || json_is_null(value)) {
        *ret_text = preset;
        return 0;
    }
    if (!json_is_string(value) ||
        strlen(json_string_value(value)) != json_string_length(value))
        return kh_fail(err, EINVAL, "'%s' must be a text", name);
    if (json_string_length(value) > max)
        return kh_fail(err, EINVAL, "'%s' is longer than %zu bytes", name, max);
    *ret_text = json_string_value(value);
    return 0;
}

int
kh_v1_flag(const json_t *body, const char *name, bool preset, bool *ret_flag,
           struct kh_error *err)
{
    const json_t *value = json_object_get(body, name);

    if (value && !json_is_null(value) && !json_is_boolean(value))
        return kh_fail(err, EINVAL, "'%s' must be true or false", name);
    *ret_flag = value && !json_is_null(value) ? json_is_true(value) : preset;
    return 0;
}

const char *
kh_v1_language(const char *name)
{
    static const char *const table[][2] = {
        {"python", "python"},
        {"python3", "python"},
    };
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++)
        if (!strcmp(name, table[i][0]))
            return table[i][1];
    return NULL;
}

json_t *
kh_v1_kernel_json(const struct kh_kernel *kernel)
{
    struct kh_kernel_view view;

    kh_kernel_view(kernel, &view);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:I, s:s*}", "id", kh_kernel_id(kernel), "name",
        "python3", "execution_state", view.execution_state, "last_activity",
        view.last_activity, "connections", (int)view.connections, "execution_count",
        (json_int_t)view.execution_count, "problem", kh_kernel_problem(kernel));
}

json_t *
kh_v1_kernels_json(struct kh_sandbox *sandbox)
{
    json_t *array = json_array();
    struct kh_kernel *kernel = kh_sandbox_kernels(sandbox);

    for (; kernel; kernel = kh_kernel_next(kernel))
        if (kh_kernel_usable(kernel))
            json_array_append_new(array, kh_v1_kernel_json(kernel));
    return array;
}

json_t *
kh_v1_date(uint64_t seconds)
{
    char date[KH_DATE_SIZE];

    if (!seconds)
        return json_null();
    kh_date_text((int64_t)seconds, 0, date);
    return json_string(date);
}

json_t *
kh_v1_size(uint64_t bytes)
{
    return bytes ? json_integer((json_int_t)bytes) : json_null();
}

void
kh_v1_id_text(const uint8_t id[KH_ID_SIZE], char out[2 * KH_ID_SIZE + 1])
{
    int i;

    for (i = 0; i < KH_ID_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", id[i]);
}

/* Seconds, or null for never. */
static json_t *
after_json(uint32_t seconds)
{
    return seconds == KH_LADDER_NEVER ? json_null() : json_integer(seconds);
}

const char *
kh_v1_state(uint32_t state)
{
    static const char *const names[] = {[KH_SANDBOX_RUNNING] = "running",
                                        [KH_SANDBOX_FROZEN] = "frozen",
                                        [KH_SANDBOX_HIBERNATED] = "hibernated",
                                        [KH_SANDBOX_STOPPED] = "stopped"};

    return state < KH_COUNT(names) && names[state] ? names[state] : "unknown";
}

json_t *
kh_v1_sandbox_json(struct kh_sandbox *sandbox)
{
    const struct kh_broker_reply *record = kh_sandbox_record(sandbox);
    struct kh_ladder ladder = kh_sandbox_ladder(sandbox);
    bool stopped = record->state == KH_SANDBOX_STOPPED;
    char id[2 * KH_ID_SIZE + 1];

    kh_v1_id_text(record->id, id);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:{s:I, s:f, s:i, s:o}, s:{s:I, s:I, s:f, s:i, "
        "s:i}, s:{s:o, s:o}, s:I, s:s*, s:o}",
        "name", record->name, "id", id, "state", kh_v1_state(record->state), "image",
        record->image, "created", kh_v1_date(record->created), "started",
        kh_v1_date(stopped ? 0 : record->started), "limits", "memory",
        (json_int_t)record->limits.memory, "cpus", record->limits.cpu_milli / 1000.0,
        "pids", (int)record->limits.pids, "disk", kh_v1_size(record->limits.disk),
        "usage", "memory", (json_int_t)record->usage.memory, "memory_peak",
        (json_int_t)record->usage.memory_peak, "cpu_seconds",
        (double)record->usage.cpu_usec / 1e6, "pids", (int)record->usage.pids,
        "oom_kills", (int)record->usage.oom_kills, "ladder", "freeze_after",
        after_json(ladder.freeze), "hibernate_after", after_json(ladder.hibernate),
        "saved", (json_int_t)record->saved, "problem", kh_sandbox_problem(sandbox),
        "kernels", kh_v1_kernels_json(sandbox));
}

int
kh_v1_need_kernel(struct kh_sandbox *sandbox, const char *id, const char *language,
                  struct kh_kernel **ret_kernel, struct kh_error *err)
{
    struct kh_kernel *kernel;

    if (!*id)
        return kh_sandbox_need_kernel(sandbox, language, false, NULL, ret_kernel, err);
    kernel = kh_sandbox_kernel(sandbox, id);
    if (!kernel || !kh_kernel_usable(kernel))
        return kh_fail(err, ENOENT, "sandbox '%s' has no kernel '%.40s'",
                       kh_sandbox_name(sandbox), id);
    *ret_kernel = kernel;
    return 0;
}
