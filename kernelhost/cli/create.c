#include "kernelhost/cli/cli.h"

#include "kernelhost/cli/http.h"
#include "kernelhost/cli/limits.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/jsontree.h"

const struct kh_option kh_options_create[] = {
    {"from", 0, "SNAPSHOT", "snapshot to start from"},
    KH_LIMIT_OPTIONS,
    KH_IDLE_OPTIONS,
    {0},
};

/* What was made stays if this fails: it sleeps later than it might. */
static int
set_ladder(struct kh_http *http, const char *name, json_t *ladder, json_t **sandbox,
           struct kh_error *err)
{
    AUTO_FREE char *path = NULL;
    json_t *changed = NULL;
    int r;

    if (!json_object_size(ladder))
        return 0;
    r = kh_http_path(name, "ladder", &path, err);
    if (r == 0)
        r = kh_http_call(http, "PATCH", path, ladder, &changed, err);
    if (r < 0)
        return r;
    json_decref(*sandbox);
    *sandbox = changed;
    return 0;
}

int
kh_cmd_create(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *body = json_object(), *ladder = json_object();
    AUTO_JSON json_t *sandbox = NULL;
    AUTO_FREE char *path = NULL, *name = NULL;
    const char *from = kh_args_get(args, "from");
    int r = kh_limits_read(args, body, err);

    if (r == 0)
        r = kh_idle_read(args, ladder, err);
    if (r == 0 && from)
        r = kh_http_set_text(body, "from", "--from", from, err);
    if (r == 0 && args->words) {
        r = kh_http_path(args->word[0], NULL, &path, err); /* checks the name */
        json_object_set_new(body, "name", json_string(args->word[0]));
    }
    if (r == 0)
        r = kh_http_call(http, "POST", "/v1/sandboxes", body, &sandbox, err);
    if (r >= 0)
        r = set_ladder(http, kh_http_text(sandbox, "name"), ladder, &sandbox, err);
    if (r < 0)
        return r;
    name = kh_text_safe_copy(kh_http_text(sandbox, "name"));
    if (cli->json)
        kh_print_json(sandbox);
    else
        kh_print_line(name);
    return KH_EXIT_OK;
}
