#include "kernelhost/cli/run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/limits.h"
#include "kernelhost/cli/notebook.h"
#include "kernelhost/cli/session.h"
#include "protocol/jupyter/jsontree.h"

const struct kh_option kh_options_run[] = {
    {"code", 'c', "CODE", "run this code instead of a file"},
    {"kernel", 'k', "LANGUAGE", "language of the kernel (python)"},
    {"output", 'o', "FILE", "write the notebook with its outputs to FILE"},
    {"allow-errors", 0, NULL, "go on after a cell that raised"},
    {"save-dir", 0, "DIR", "save pictures to DIR as output-1.png ..."},
    {"create", 0, NULL, "make the sandbox if there is none"},
    KH_LIMIT_OPTIONS,
    {0},
};

static void
on_message(const json_t *message, const char *text, size_t size, void *arg)
{
    struct kh_run *run = arg;

    if (!run->cli->json) {
        kh_render_message(&run->render, message);
    } else {
        kh_fd_write_full(STDOUT_FILENO, text, size);
        kh_fd_write_full(STDOUT_FILENO, "\n", 1);
    }
}

static int
run_code(struct kh_run *run, const char *code, size_t size, struct kh_error *err)
{
    AUTO(kh_session) struct kh_session *session = NULL;
    AUTO_JSON json_t *reply = NULL;
    struct kh_cell_end end = {0};
    int r = kh_session_open(run->cli, run->sandbox,
                            run->language ? run->language : "python", run->create,
                            &session, err);

    if (r == 0)
        r = kh_session_execute(session, code, size, !run->allow_errors, on_message, run,
                               &end, err);
    if (r < 0)
        return r;
    reply = end.reply;
    if (!run->cli->json)
        kh_render_payload(reply);
    if (end.status == KH_CELL_LEFT)
        return KH_EXIT_SIGNAL + end.signal;
    if (end.interrupted && end.status != KH_CELL_OK)
        return KH_EXIT_SIGNAL + SIGINT;
    if (end.status == KH_CELL_ABORTED)
        return kh_fail(err, ECANCELED, "the code did not run: an earlier cell failed");
    /* A kernel that died, or never lived, raises nothing: the reply is all there is. */
    if (end.status == KH_CELL_ERROR &&
        !strcmp(kh_http_text(reply, "ename"), "KernelDied"))
        return kh_fail(err, EIO, "%s", kh_http_text(reply, "evalue"));
    return end.status == KH_CELL_OK ? KH_EXIT_OK : KH_EXIT_FAILURE;
}

static bool
is_notebook(const char *path)
{
    size_t length = strlen(path);

    return length > 6 && !strcmp(path + length - 6, ".ipynb");
}

/* *RET_CREATE is NULL without --create. */
static int
read_create(const struct kh_args *args, json_t **ret_create, struct kh_error *err)
{
    AUTO_JSON json_t *create = json_object();
    int r = kh_limits_read(args, create, err);

    if (r < 0)
        return r;
    if (kh_args_has(args, "create"))
        *ret_create = json_incref(create);
    else if (json_object_size(create))
        return kh_fail(err, EINVAL,
                       "an image or limits are for a new sandbox (hint: kernelhost run "
                       "%.80s --create)",
                       args->word[0]);
    return 0;
}

int
kh_cmd_run(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    const char *code = kh_args_get(args, "code");
    const char *path = args->words > 1 ? args->word[1] : "-";
    struct kh_run run = {.cli = cli,
                         .sandbox = args->word[0],
                         .language = kh_args_get(args, "kernel"),
                         .out = kh_args_get(args, "output"),
                         .allow_errors = kh_args_has(args, "allow-errors"),
                         .render.save_dir = kh_args_get(args, "save-dir")};
    AUTO_FREE char *data = NULL;
    AUTO_JSON json_t *create = NULL;
    size_t size;
    int r = read_create(args, &create, err);

    if (r < 0)
        return r;
    run.create = create;
    if (code && args->words > 1)
        return kh_fail(err, EINVAL, "give either -c CODE or a file, not both");
    if (run.out && (code || !is_notebook(path)))
        return kh_fail(err, EINVAL, "option '--output' is for notebooks");
    if (!code && args->words == 1 && isatty(STDIN_FILENO))
        return kh_fail(
            err, EINVAL,
            "nothing to run (hint: kernelhost run %.80s -c CODE, a file, or code on "
            "standard input)",
            run.sandbox);
    if (code)
        return run_code(&run, code, strlen(code), err);
    r = kh_notebook_read_file(path, &data, &size, err);
    if (r < 0)
        return r;
    if (is_notebook(path))
        return kh_run_notebook(&run, path, data, size, err);
    return run_code(&run, data, size, err);
}
