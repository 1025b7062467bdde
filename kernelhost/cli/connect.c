#include "kernelhost/cli/cli.h"

#include <errno.h>

#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "protocol/jupyter/jsontree.h"

const struct kh_option kh_options_connect[] = {
    {"tcp", 0, NULL, "TCP on 127.0.0.1 instead of Unix sockets"},
    {"kernel", 0, "ID", "this kernel instead of the first one"},
    {0},
};

/* Prints the file's path and nothing else, so that it can stand in $(...). */
int
kh_cmd_connect(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    const char *kernel = kh_args_get(args, "kernel");
    AUTO_JSON json_t *body = json_object(), *answer = NULL;
    AUTO_FREE char *path = NULL;
    int r = kh_http_path(args->word[0], "connect", &path, err);

    if (r == 0 && kernel)
        r = kh_http_set_text(body, "kernel", "kernel", kernel, err);
    if (kh_args_has(args, "tcp"))
        json_object_set_new(body, "transport", json_string("tcp"));
    if (r == 0)
        r = kh_http_call(http, "POST", path, body, &answer, err);
    if (r < 0)
        return r;
    if (!*kh_http_text(answer, "connection_file"))
        return kh_fail(err, EBADMSG, "the host's answer names no connection file");
    if (cli->json)
        kh_print_json(answer);
    else
        kh_print_line(kh_http_text(answer, "connection_file"));
    return KH_EXIT_OK;
}
