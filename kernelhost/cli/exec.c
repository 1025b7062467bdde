#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/base64.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/notebook.h"
#include "protocol/jupyter/jsontree.h"

const struct kh_option kh_options_exec[] = {
    {"cwd", 'C', "DIR", "directory inside to run in (/workspace)"},
    {"env", 'e', "NAME=VALUE", "set an environment variable; may be repeated", true},
    {"no-stdin", 'n', NULL, "do not read standard input"},
    {0},
};

struct exec {
    const struct kh_cli *cli;
    int status; /* -1 until the command has ended */
};

static int
on_output(int fd, const json_t *line, struct kh_error *err)
{
    const json_t *data = json_object_get(line, "data");
    struct kh_buf out = KH_BUF_INIT;
    int r =
        kh_base64_decode(&out, kh_http_text(line, "data"), json_string_length(data));

    if (r < 0)
        kh_fail(err, -r, "the host sent output that is no base64");
    else if ((r = kh_fd_write_full(fd, kh_buf_ptr(&out), kh_buf_len(&out))) < 0)
        kh_fail(err, -r, "cannot write: %s", strerror(-r));
    kh_buf_release(&out);
    return r;
}

static void
on_exit_line(struct exec *exec, const json_t *line)
{
    const json_t *signal = json_object_get(line, "signal");
    const json_t *status = json_object_get(line, "status");

    if (json_is_integer(signal))
        exec->status = KH_EXIT_SIGNAL + ((int)json_integer_value(signal) & 0x7f);
    else
        exec->status = (int)json_integer_value(status) & 0xff;
}

static int
on_line(json_t *line, const char *text, size_t size, void *arg, struct kh_error *err)
{
    struct exec *exec = arg;
    const char *type = kh_http_text(line, "type");

    if (exec->cli->json) {
        kh_fd_write_full(STDOUT_FILENO, text, size);
        kh_fd_write_full(STDOUT_FILENO, "\n", 1);
    } else if (!strcmp(type, "stdout")) {
        return on_output(STDOUT_FILENO, line, err);
    } else if (!strcmp(type, "stderr")) {
        return on_output(STDERR_FILENO, line, err);
    }
    if (!strcmp(type, "exit"))
        on_exit_line(exec, line);
    if (!strcmp(type, "error")) {
        kh_fail(err, EIO, "%s", kh_http_text(line, "message"));
        kh_cli_complain(err);
        exec->status = KH_EXIT_NOT_RUN;
    }
    return 0;
}

static int
add_env(const struct kh_args *args, json_t *body, struct kh_error *err)
{
    json_t *env = json_object();
    size_t i;

    json_object_set_new(body, "env", env);
    for (i = 0; i < args->count; i++) {
        const char *given = args->given[i].value, *equals;
        AUTO_FREE char *name = NULL;

        if (strcmp(args->given[i].option->name, "env") != 0)
            continue;
        equals = strchr(given, '=');
        if (!equals || equals == given)
            return kh_fail(err, EINVAL, "'%.80s' is no variable (hint: NAME=VALUE)",
                           given);
        name = kh_xmemdup(given, (size_t)(equals - given));
        if (kh_http_set_text(env, name, "variable", equals + 1, err) < 0)
            return -EINVAL;
    }
    return 0;
}

static int
add_argv(const struct kh_args *args, json_t *body, struct kh_error *err)
{
    json_t *argv = json_array();
    size_t i;

    json_object_set_new(body, "argv", argv);
    for (i = 1; i < args->words; i++)
        if (json_array_append_new(argv, json_string(args->word[i])) < 0)
            return kh_fail(err, EINVAL, "argument %zu is not UTF-8 text", i);
    return 0;
}

/* What stands on standard input goes along whole, when it is no terminal. */
static int
add_stdin(const struct kh_args *args, json_t *body, struct kh_error *err)
{
    struct kh_buf text = KH_BUF_INIT;
    AUTO_FREE char *data = NULL;
    size_t size;
    int r;

    if (kh_args_has(args, "no-stdin") || isatty(STDIN_FILENO) ||
        fcntl(STDIN_FILENO, F_GETFD) < 0)
        return 0;
    r = kh_notebook_read_file("-", &data, &size, err);
    if (r < 0)
        return r;
    if (size > KH_HTTP_BODY_MAX / 4 * 3)
        return kh_fail(err, EFBIG, "standard input is larger than %u MiB",
                       (KH_HTTP_BODY_MAX >> 20) / 4 * 3);
    kh_base64_encode(&text, data, size);
    json_object_set_new(body, "stdin",
                        json_stringn(kh_buf_ptr(&text), kh_buf_len(&text)));
    kh_buf_release(&text);
    return 0;
}

int
kh_cmd_exec(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    const char *cwd = kh_args_get(args, "cwd");
    AUTO_JSON json_t *body = json_object();
    AUTO_FREE char *path = NULL;
    struct exec exec = {cli, -1};
    int r = kh_http_path(args->word[0], "exec", &path, err);

    if (r == 0 && cwd)
        r = kh_http_set_text(body, "cwd", "directory", cwd, err);
    if (r == 0)
        r = add_argv(args, body, err);
    if (r == 0)
        r = add_env(args, body, err);
    if (r == 0)
        r = add_stdin(args, body, err);
    if (r == 0)
        r = kh_http_stream(http, path, body, NULL, 0, on_line, &exec, err);
    if (r < 0)
        return r;
    if (exec.status < 0)
        return kh_fail(err, ECONNRESET, "the host did not say how the command ended");
    return exec.status;
}
