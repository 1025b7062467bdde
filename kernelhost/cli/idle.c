/* idle: when a sandbox sleeps by itself. */
#include "kernelhost/cli/cli.h"

#include <stdio.h>

#include "base/clean.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/limits.h"
#include "kernelhost/cli/print.h"
#include "protocol/jupyter/jsontree.h"

const struct kh_option kh_options_idle[] = {
    KH_IDLE_OPTIONS,
    {0},
};

int
kh_cmd_idle(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *body = json_object(), *sandbox = NULL;
    AUTO_FREE char *path = NULL;
    const json_t *ladder;
    char text[KH_IDLE_TEXT];
    bool change;
    int r = kh_idle_read(args, body, err);

    change = json_object_size(body) > 0;
    if (r == 0)
        r = kh_http_path(args->word[0], change ? "ladder" : NULL, &path, err);
    if (r == 0)
        r = kh_http_call(http, change ? "PATCH" : "GET", path, change ? body : NULL,
                         &sandbox, err);
    if (r < 0)
        return r;
    ladder = json_object_get(sandbox, "ladder");
    if (cli->json)
        kh_print_json(ladder);
    else
        printf("%s\n", kh_idle_text(ladder, text));
    return KH_EXIT_OK;
}
