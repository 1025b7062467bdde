/* rm, start, stop, sleep and wake: one request for each name. With --json those that
 * leave a sandbox print one array, whatever the number of names. */
#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <string.h>

#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "protocol/jupyter/jsontree.h"

/* Asks for all names; one that fails does not keep the others from being done.
 * Returns the status of the first failure. */
static int
each(struct kh_cli *cli, const struct kh_args *args, const char *method,
     const char *rest, json_t *body)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *all = json_array();
    int status = KH_EXIT_OK;
    size_t i;

    for (i = 0; i < args->words; i++) {
        AUTO_JSON json_t *answer = NULL;
        AUTO_FREE char *path = NULL;
        struct kh_error err = {0};
        int r = kh_http_path(args->word[i], rest, &path, &err);

        if (r == 0)
            r = kh_http_call(http, method, path, body, &answer, &err);
        if (r < 0) {
            kh_cli_complain(&err);
            if (status == KH_EXIT_OK)
                status = kh_cli_exit_status(err.code);
        } else if (answer && !json_is_null(answer)) {
            json_array_append(all, answer);
        }
        if (r == -EHOSTDOWN)
            break;
    }
    if (cli->json && strcmp(method, "DELETE") != 0)
        kh_print_json(all);
    return status;
}

int
kh_cmd_rm(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    (void)err;
    return each(cli, args, "DELETE", NULL, NULL);
}

int
kh_cmd_start(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    (void)err;
    return each(cli, args, "POST", "start", NULL);
}

int
kh_cmd_stop(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    (void)err;
    return each(cli, args, "POST", "stop", NULL);
}

const struct kh_option kh_options_sleep[] = {
    {"frozen", 0, NULL, "only freeze: memory stays, waking takes no time"},
    {0},
};

int
kh_cmd_sleep(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO_JSON json_t *body = json_object();

    (void)err;
    json_object_set_new(body, "hibernate", json_boolean(!kh_args_has(args, "frozen")));
    return each(cli, args, "POST", "sleep", body);
}

int
kh_cmd_wake(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    (void)err;
    return each(cli, args, "POST", "wake", NULL);
}
