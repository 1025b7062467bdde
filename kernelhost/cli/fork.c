/* fork: sandboxes with the files that another has now. */
#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <string.h>

#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/jsontree.h"

const struct kh_option kh_options_fork[] = {
    {"files", 0, NULL, "only the files: no process comes along"},
    {0},
};

/* The errno value that the API's code of one of several failures stands for. */
static int
errno_of(const char *code)
{
    static const struct {
        const char *code;
        int value;
    } table[] = {{"invalid", EINVAL},
                 {"not_found", ENOENT},
                 {"exists", EEXIST},
                 {"conflict", EEXIST}};
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++)
        if (!strcmp(table[i].code, code))
            return table[i].value;
    return EIO;
}

/* Prints the name, or why there is none. */
static void
tell(const json_t *child, bool json, int *status)
{
    const json_t *failed = json_object_get(child, "error");
    AUTO_FREE char *name = kh_text_safe_copy(kh_http_text(child, "name"));
    struct kh_error err = {0};

    if (!failed) {
        if (!json)
            kh_print_line(name);
        return;
    }
    kh_fail(&err, errno_of(kh_http_text(failed, "code")), "cannot make '%s': %s", name,
            kh_http_text(failed, "message"));
    if (!json)
        kh_cli_complain(&err);
    if (*status == KH_EXIT_OK)
        *status = kh_cli_exit_status(err.code);
}

int
kh_cmd_fork(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *body = json_object(), *answer = NULL;
    json_t *names = json_array(), *forks, *child;
    AUTO_FREE char *path = NULL;
    int r = kh_http_path(args->word[0], "fork", &path, err), status = KH_EXIT_OK;
    size_t i;

    json_object_set_new(body, "names", names);
    if (kh_args_has(args, "files"))
        json_object_set_new(body, "memory", json_false());
    for (i = 1; r == 0 && i < args->words; i++) {
        AUTO_FREE char *checked = NULL;

        r = kh_http_path(args->word[i], NULL, &checked, err);
        json_array_append_new(names, json_string(args->word[i]));
    }
    if (r == 0)
        r = kh_http_call(http, "POST", path, body, &answer, err);
    if (r < 0)
        return r;
    forks = json_object_get(answer, "forks");
    json_array_foreach(forks, i, child) tell(child, cli->json, &status);
    if (cli->json)
        kh_print_json(forks);
    return status;
}
