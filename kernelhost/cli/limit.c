/* limits: those of a sandbox that exists, printed and changed. */
#include "kernelhost/cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

#include "kernelhost/cli/http.h"
#include "kernelhost/cli/limits.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/size.h"
#include "protocol/jupyter/jsontree.h"

const struct kh_option kh_options_limits[] = {KH_RESOURCE_OPTIONS, {0}};

static void
add(struct kh_table *table, const char *what, const char *used, const char *limit)
{
    kh_table_add(table, what);
    kh_table_add(table, used);
    kh_table_add(table, limit);
}

static void
print_limits(const json_t *sandbox)
{
    const json_t *limits = json_object_get(sandbox, "limits");
    const json_t *usage = json_object_get(sandbox, "usage");
    json_int_t disk = json_integer_value(json_object_get(limits, "disk"));
    struct kh_table table = KH_TABLE_INIT;
    char used[KH_SIZE_TEXT], limit[KH_SIZE_TEXT], count[32];

    kh_table_head(&table, "LIMIT USED AT-MOST");
    add(&table, "memory",
        kh_size_text((uint64_t)json_integer_value(json_object_get(usage, "memory")),
                     used),
        kh_size_text((uint64_t)json_integer_value(json_object_get(limits, "memory")),
                     limit));
    snprintf(count, sizeof(count), "%g",
             json_number_value(json_object_get(limits, "cpus")));
    add(&table, "cpus", NULL, count);
    snprintf(used, sizeof(used), "%" JSON_INTEGER_FORMAT,
             json_integer_value(json_object_get(usage, "pids")));
    snprintf(limit, sizeof(limit), "%" JSON_INTEGER_FORMAT,
             json_integer_value(json_object_get(limits, "pids")));
    add(&table, "pids", used, limit);
    if (disk)
        add(&table, "disk", NULL, kh_size_text((uint64_t)disk, limit));
    kh_print_table(&table);
    kh_table_release(&table);
}

int
kh_cmd_limits(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *body = json_object(), *sandbox = NULL;
    AUTO_FREE char *path = NULL;
    bool change;
    int r = kh_limits_read(args, body, err);

    if (r < 0)
        return r;
    change = json_object_size(body) > 0;
    r = kh_http_path(args->word[0], change ? "limits" : NULL, &path, err);
    if (r == 0)
        r = kh_http_call(http, change ? "PATCH" : "GET", path, change ? body : NULL,
                         &sandbox, err);
    if (r < 0)
        return r;
    if (cli->json)
        kh_print_json(json_object_get(sandbox, "limits"));
    else
        print_limits(sandbox);
    return KH_EXIT_OK;
}
