#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/gateway/base64.h"
#include "kernelhost/gateway/exec.h"
#include "kernelhost/http/v1.h"
#include "protocol/jupyter/json.h"

/* Encoded output a client has not read at which no more is confirmed to init. */
#define WAITING_HIGH (1024u * 1024)
#define STRINGS_MAX  (1024u * 1024) /* argv, or env, as bytes */

/* One process for one client. */
struct run {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    struct kh_sandbox *sandbox;
    struct kh_exec *exec; /* NULL: not started, or ended */
    size_t given;         /* output given to the client and not confirmed to init */
    bool gone;
    struct kh_buf argv, env, cwd, input;
};

static void
free_run(struct run *run)
{
    kh_buf_release(&run->argv);
    kh_buf_release(&run->env);
    kh_buf_release(&run->cwd);
    kh_buf_release(&run->input);
    free(run);
}

static void
confirm(struct run *run)
{
    size_t given = run->given;

    if (!run->exec || !given || kh_http_waiting(run->request) > WAITING_HIGH)
        return;
    run->given = 0;
    kh_exec_took(run->exec, given);
}

static void
on_drained(void *arg)
{
    confirm(arg);
}

static void
on_output(void *arg, enum kh_stream stream, struct kh_slice bytes)
{
    struct run *run = arg;
    struct kh_buf line = KH_BUF_INIT;

    kh_buf_addf(&line, "{\"type\":\"%s\",\"data\":\"",
                stream == KH_STREAM_STDERR ? "stderr" : "stdout");
    kh_base64_add(&line, bytes);
    kh_buf_addf(&line, "\"}\n");
    kh_http_write(run->request,
                  (struct kh_slice){kh_buf_ptr(&line), kh_buf_len(&line)});
    kh_buf_release(&line);
    run->given += bytes.size;
    confirm(run);
}

static void
on_ended(void *arg, int status, const char *why)
{
    struct run *run = arg;
    struct kh_http_request *request = run->request;
    struct kh_buf line = KH_BUF_INIT;

    if (why)
        kh_json_addf(&line, "{\"type\":\"error\",\"message\":%s}\n", why);
    else if (WIFSIGNALED(status))
        kh_json_addf(&line, "{\"type\":\"exit\",\"signal\":%d}\n", WTERMSIG(status));
    else
        kh_json_addf(&line, "{\"type\":\"exit\",\"status\":%d}\n", WEXITSTATUS(status));
    kh_http_write(request, (struct kh_slice){kh_buf_ptr(&line), kh_buf_len(&line)});
    kh_buf_release(&line);
    free_run(run);
    kh_http_end(request);
}

static void
on_gone(void *arg)
{
    struct run *run = arg;
    struct kh_http_request *request = run->request;

    if (!run->exec) {
        run->gone = true;
        return;
    }
    kh_exec_leave(run->exec);
    free_run(run);
    kh_http_abort(request);
}

static struct kh_slice
slice_of(const struct kh_buf *buf)
{
    return (struct kh_slice){kh_buf_ptr(buf), kh_buf_len(buf)};
}

static void
on_up(void *arg, const struct kh_error *err)
{
    struct run *run = arg;
    struct kh_http_request *request = run->request;
    struct kh_exec_events events = {.output = on_output, .ended = on_ended, .arg = run};
    struct kh_exec_plan plan = {.argv = slice_of(&run->argv),
                                .env = slice_of(&run->env),
                                .cwd = slice_of(&run->cwd),
                                .input = slice_of(&run->input)};
    struct kh_error why;

    if (err) {
        kh_v1_error(request, err);
    } else if (run->gone) {
        kh_v1_fail(request, 503, "unavailable", "the client has gone");
    } else if (kh_exec_start(run->gateway, run->sandbox, &plan, &events, &run->exec,
                             &why) < 0) {
        kh_v1_error(request, &why);
    } else {
        kh_buf_release(&run->input);
        kh_http_stream(request, "application/x-ndjson", on_drained, run);
        return;
    }
    free_run(run);
}

/* Appends a string and its NUL. */
static int
add_string(struct kh_buf *out, const json_t *value, const char *what,
           struct kh_error *err)
{
    if (!json_is_string(value) ||
        strlen(json_string_value(value)) != json_string_length(value))
        return kh_fail(err, EINVAL, "'%s' must hold texts without NUL", what);
    if (kh_buf_len(out) + json_string_length(value) > STRINGS_MAX)
        return kh_fail(err, EINVAL, "'%s' is over %u bytes", what, STRINGS_MAX);
    kh_buf_add(out, json_string_value(value), json_string_length(value) + 1);
    return 0;
}

static int
read_argv(const json_t *body, struct run *run, struct kh_error *err)
{
    const json_t *argv = json_object_get(body, "argv");
    size_t i;
    int r = 0;

    if (!json_is_array(argv) || !json_array_size(argv))
        return kh_fail(err, EINVAL, "'argv' must be a list like [\"uname\", \"-a\"]");
    for (i = 0; i < json_array_size(argv) && r == 0; i++)
        r = add_string(&run->argv, json_array_get(argv, i), "argv", err);
    if (r == 0 && !json_string_length(json_array_get(argv, 0)))
        return kh_fail(err, EINVAL, "'argv' begins with an empty text");
    return r;
}

static int
read_env(const json_t *body, struct run *run, struct kh_error *err)
{
    json_t *env = json_object_get(body, "env");
    const char *name;
    json_t *value;
    int r;

    if (!env || json_is_null(env))
        return 0;
    if (!json_is_object(env))
        return kh_fail(err, EINVAL, "'env' must be an object of texts");
    json_object_foreach(env, name, value)
    {
        if (!*name || strchr(name, '='))
            return kh_fail(err, EINVAL, "'env' has a name that cannot be one");
        if (kh_buf_len(&run->env) + strlen(name) > STRINGS_MAX)
            return kh_fail(err, EINVAL, "'env' is over %u bytes", STRINGS_MAX);
        kh_buf_addf(&run->env, "%s=", name);
        r = add_string(&run->env, value, "env", err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int
read_body(const json_t *body, struct run *run, struct kh_error *err)
{
    const char *cwd = "", *input = "";
    int r = read_argv(body, run, err);

    if (r == 0)
        r = read_env(body, run, err);
    if (r == 0)
        r = kh_v1_text(body, "cwd", 4095, "", &cwd, err);
    if (r == 0)
        r = kh_v1_text(body, "stdin", KH_HTTP_BODY_MAX, "", &input, err);
    if (r < 0)
        return r;
    kh_buf_add(&run->cwd, cwd, strlen(cwd));
    r = kh_base64_decode(kh_slice_text(input), &run->input, err);
    return r < 0 ? kh_fail_in(err, "'stdin' is wrong") : 0;
}

void
kh_v1_exec(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);
    struct kh_error err;
    struct run *run;

    if (!sandbox)
        return;
    run = kh_xcalloc(1, sizeof(*run));
    run->gateway = call->gateway;
    run->request = call->request;
    run->sandbox = sandbox;
    if (read_body(call->body, run, &err) < 0) {
        kh_v1_error(call->request, &err);
        free_run(run);
        return;
    }
    kh_http_on_gone(call->request, on_gone, run);
    kh_sandbox_up(sandbox, on_up, run);
}
