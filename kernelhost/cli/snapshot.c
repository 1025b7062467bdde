/* snapshot: what a sandbox's files were at a moment. */
#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/size.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/jsontree.h"
#include "protocol/link/broker.h"

const struct kh_option kh_options_snapshot[] = {
    {"memory", 0, NULL, "keep the processes and their memory, too"},
    {"expires", 0, "TIME", "remove it after that time: 90s, 1h, 7d"},
    {0},
};

const struct kh_option kh_options_snapshot_ls[] = {
    {"quiet", 'q', NULL, "print only the names"},
    {0},
};

static int
path_of(const char *name, char **ret_path, struct kh_error *err)
{
    int r = kh_http_check_name("snapshot", name, err);

    if (r == 0)
        *ret_path = kh_xasprintf("/v1/snapshots/%s", name);
    return r;
}

static int
set_expires(json_t *body, const char *text, struct kh_error *err)
{
    uint64_t seconds;

    if (kh_time_parse(text, &seconds, err) < 0)
        return kh_fail_in(err, "option '--expires'");
    json_object_set_new(body, "expires", json_integer((json_int_t)seconds));
    return 0;
}

int
kh_cmd_snapshot(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *body = json_object(), *snapshot = NULL;
    const char *expires = kh_args_get(args, "expires");
    AUTO_FREE char *path = NULL, *name = NULL;
    int r = kh_http_path(args->word[0], "snapshots", &path, err);

    if (r == 0 && args->words > 1) {
        r = kh_http_check_name("snapshot", args->word[1], err);
        json_object_set_new(body, "name", json_string(args->word[1]));
    }
    if (kh_args_has(args, "memory"))
        json_object_set_new(body, "memory", json_true());
    if (r == 0 && expires)
        r = set_expires(body, expires, err);
    if (r == 0)
        r = kh_http_call(http, "POST", path, body, &snapshot, err);
    if (r < 0)
        return r;
    name = kh_text_safe_copy(kh_http_text(snapshot, "name"));
    if (cli->json)
        kh_print_json(snapshot);
    else
        kh_print_line(name);
    return KH_EXIT_OK;
}

static const char *
size_of(const json_t *object, const char *member, char out[static KH_SIZE_TEXT])
{
    return kh_size_text((uint64_t)json_integer_value(json_object_get(object, member)),
                        out);
}

/* What its processes take on the disk. */
static const char *
saved_of(const json_t *snapshot, char out[static KH_SIZE_TEXT])
{
    return json_is_true(json_object_get(snapshot, "memory"))
               ? size_of(snapshot, "saved", out)
               : "-";
}

static void
add_row(struct kh_table *table, const json_t *snapshot)
{
    char size[KH_SIZE_TEXT], created[KH_TIME_TEXT], expires[KH_TIME_TEXT];

    kh_table_add(table, kh_http_text(snapshot, "name"));
    kh_table_add(table, kh_http_text(snapshot, "sandbox"));
    kh_table_add(table, kh_http_text(snapshot, "image"));
    kh_table_add(table, size_of(snapshot, "bytes", size));
    kh_table_add(table, saved_of(snapshot, size));
    kh_table_add(table, kh_print_time(kh_http_text(snapshot, "created"), created));
    kh_table_add(table, kh_print_time(kh_http_text(snapshot, "expires"), expires));
}

int
kh_cmd_snapshot_ls(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_FREE char *sandbox = NULL, *path = NULL;
    AUTO_JSON json_t *answer = NULL;
    struct kh_table table = KH_TABLE_INIT;
    const json_t *snapshots, *snapshot;
    size_t i;
    int r = 0;

    if (args->words) {
        r = kh_http_path(args->word[0], NULL, &sandbox, err); /* checks the name */
        path = kh_xasprintf("/v1/snapshots?sandbox=%s", args->word[0]);
    }
    if (r == 0)
        r = kh_http_call(http, "GET", path ? path : "/v1/snapshots", NULL, &answer,
                         err);
    if (r < 0)
        return r;
    snapshots = json_object_get(answer, "snapshots");
    if (cli->json) {
        kh_print_json(snapshots);
        return KH_EXIT_OK;
    }
    if (!kh_args_has(args, "quiet"))
        kh_table_head(&table, "NAME SANDBOX IMAGE SIZE MEMORY CREATED EXPIRES");
    json_array_foreach(snapshots, i, snapshot)
    {
        AUTO_FREE char *name = kh_text_safe_copy(kh_http_text(snapshot, "name"));

        if (kh_args_has(args, "quiet"))
            kh_print_line(name);
        else
            add_row(&table, snapshot);
    }
    kh_print_table(&table);
    kh_table_release(&table);
    return KH_EXIT_OK;
}

static void
add(struct kh_table *table, const char *label, const char *value)
{
    kh_table_add(table, label);
    kh_table_add(table, value);
}

/* One from an archive has none of its own. */
static const char *
limit_of(const json_t *limits, const char *member, char out[static KH_SIZE_TEXT])
{
    const json_t *value = json_object_get(limits, member);

    if (!json_is_number(value))
        return "default";
    if (!strcmp(member, "cpus"))
        snprintf(out, KH_SIZE_TEXT, "%g", json_number_value(value));
    else if (!strcmp(member, "pids"))
        snprintf(out, KH_SIZE_TEXT, "%lld", (long long)json_integer_value(value));
    else
        kh_size_text((uint64_t)json_integer_value(value), out);
    return out;
}

static void
print_snapshot(const json_t *snapshot)
{
    const json_t *limits = json_object_get(snapshot, "limits");
    static const char *const names[] = {"memory", "cpus", "pids", "disk"};
    char size[KH_SIZE_TEXT], created[KH_TIME_TEXT], expires[KH_TIME_TEXT];
    struct kh_table table = {.columns = 2};
    size_t i;

    add(&table, "name", kh_http_text(snapshot, "name"));
    add(&table, "id", kh_http_text(snapshot, "id"));
    add(&table, "sandbox", kh_http_text(snapshot, "sandbox"));
    add(&table, "image", kh_http_text(snapshot, "image"));
    add(&table, "size", size_of(snapshot, "bytes", size));
    add(&table, "processes", saved_of(snapshot, size));
    add(&table, "created", kh_print_time(kh_http_text(snapshot, "created"), created));
    add(&table, "expires", kh_print_time(kh_http_text(snapshot, "expires"), expires));
    for (i = 0; i < KH_COUNT(names); i++)
        add(&table, names[i], limit_of(limits, names[i], size));
    kh_print_table(&table);
    kh_table_release(&table);
}

int
kh_cmd_snapshot_show(struct kh_cli *cli, const struct kh_args *args,
                     struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *snapshot = NULL;
    AUTO_FREE char *path = NULL;
    int r = path_of(args->word[0], &path, err);

    if (r == 0)
        r = kh_http_call(http, "GET", path, NULL, &snapshot, err);
    if (r < 0)
        return r;
    if (cli->json)
        kh_print_json(snapshot);
    else
        print_snapshot(snapshot);
    return KH_EXIT_OK;
}

/* One that fails does not keep the others from going. */
int
kh_cmd_snapshot_rm(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    int status = KH_EXIT_OK;
    size_t i;

    (void)err;
    for (i = 0; i < args->words; i++) {
        AUTO_FREE char *path = NULL;
        struct kh_error failed = {0};
        int r = path_of(args->word[i], &path, &failed);

        if (r == 0)
            r = kh_http_call(http, "DELETE", path, NULL, NULL, &failed);
        if (r < 0) {
            kh_cli_complain(&failed);
            if (status == KH_EXIT_OK)
                status = kh_cli_exit_status(failed.code);
        }
        if (r == -EHOSTDOWN)
            break;
    }
    return status;
}
