/* usage: what sandboxes have used, and what it costs. */
#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/size.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/jsontree.h"

const struct kh_option kh_options_usage[] = {
    {"since", 's', "TIME",
     "from the hour of TIME: 2026-11-01, 2026-11-01T12:30, 24h, 7d"},
    {"prometheus", 0, NULL, "print Prometheus' text format"},
    {0},
};

/* "90m", "24h", "7d": so long ago. */
static bool
read_age(const char *text, time_t *ret_time)
{
    static const struct {
        char unit;
        long seconds;
    } units[] = {{'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    char *end;
    long count = strtol(text, &end, 10);
    size_t i;

    if (*text < '0' || *text > '9' || count > 1000000 || !*end || end[1])
        return false;
    for (i = 0; i < KH_COUNT(units); i++)
        if (*end == units[i].unit) {
            *ret_time = time(NULL) - count * units[i].seconds;
            return true;
        }
    return false;
}

/* In the user's own zone. */
static bool
read_date(const char *text, time_t *ret_time)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%dT%H:%M:%S"};
    size_t i;

    for (i = 0; i < KH_COUNT(forms); i++) {
        struct tm date = {.tm_isdst = -1};
        const char *end = strptime(text, forms[i], &date);

        if (!end || *end)
            continue;
        *ret_time = mktime(&date);
        return *ret_time >= 0;
    }
    return false;
}

static int
make_path(const struct kh_args *args, char **ret_path, struct kh_error *err)
{
    const char *since = kh_args_get(args, "since");
    AUTO_FREE char *checked = NULL;
    time_t from = 0;
    int r = args->words ? kh_http_path(args->word[0], NULL, &checked, err) : 0;

    if (r < 0)
        return r;
    if (since && !read_age(since, &from) && !read_date(since, &from))
        return kh_fail(err, EINVAL,
                       "'%.40s' is no time (hint: 2026-11-01, 2026-11-01T12:30, 24h, "
                       "7d)",
                       since);
    if (args->words)
        *ret_path = kh_xasprintf("/v1/usage?since=%lld&sandbox=%s", (long long)from,
                                 args->word[0]);
    else
        *ret_path = kh_xasprintf("/v1/usage?since=%lld", (long long)from);
    return 0;
}

static void
add_number(struct kh_table *table, const json_t *object, const char *member, int digits)
{
    char text[64];

    snprintf(text, sizeof(text), "%.*f", digits,
             json_number_value(json_object_get(object, member)));
    kh_table_add(table, text);
}

static void
add_sums(struct kh_table *table, const json_t *sums)
{
    add_number(table, sums, "cpu_seconds", 1);
    add_number(table, sums, "memory_gib_seconds", 1);
    add_number(table, sums, "disk_gib_seconds", 1);
    add_number(table, sums, "running_seconds", 0);
    add_number(table, sums, "frozen_seconds", 0);
    add_number(table, sums, "hibernated_seconds", 0);
    add_number(table, sums, "executions", 0);
    add_number(table, sums, "cost", 6);
}

static void
print_kernels(const json_t *sandboxes)
{
    struct kh_table table = KH_TABLE_INIT;
    const json_t *sandbox, *kernel;
    size_t i, k;

    kh_table_head(&table, "KERNEL LANGUAGE CPU-S WALL-S EXECUTED");
    json_array_foreach(sandboxes, i, sandbox)
    {
        json_array_foreach(json_object_get(sandbox, "kernels"), k, kernel)
        {
            kh_table_add(&table, kh_http_text(kernel, "id"));
            kh_table_add(&table, kh_http_text(kernel, "language"));
            add_number(&table, kernel, "cpu_seconds", 1);
            add_number(&table, kernel, "wall_seconds", 1);
            add_number(&table, kernel, "executions", 0);
        }
    }
    kh_print_line("");
    kh_print_table(&table);
    kh_table_release(&table);
}

static void
print_usage(const json_t *answer, bool kernels)
{
    const json_t *sandboxes = json_object_get(answer, "sandboxes"), *sandbox;
    struct kh_table table = KH_TABLE_INIT;
    size_t i;

    kh_table_head(&table, "NAME STATE CPU-S MEMORY-GIB-S DISK-GIB-S RUNNING-S FROZEN-S "
                          "HIBERNATED-S EXECUTED COST-USD");
    json_array_foreach(sandboxes, i, sandbox)
    {
        kh_table_add(&table, kh_http_text(sandbox, "name"));
        kh_table_add(&table, kh_http_text(sandbox, "state"));
        add_sums(&table, sandbox);
    }
    if (!kernels) {
        kh_table_add(&table, "(all)");
        kh_table_add(&table, NULL);
        add_sums(&table, json_object_get(answer, "total"));
    }
    kh_print_table(&table);
    kh_table_release(&table);
    if (kernels)
        print_kernels(sandboxes);
}

static int
print_prometheus(struct kh_http *http, struct kh_error *err)
{
    struct kh_buf text = KH_BUF_INIT;
    int r = kh_http_text_of(http, "/metrics", &text, err);

    if (r == 0)
        kh_fd_write_full(STDOUT_FILENO, kh_buf_ptr(&text), kh_buf_len(&text));
    kh_buf_release(&text);
    return r < 0 ? r : KH_EXIT_OK;
}

int
kh_cmd_usage(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *answer = NULL;
    AUTO_FREE char *path = NULL;
    int r;

    if (kh_args_has(args, "prometheus")) {
        if (args->words || kh_args_has(args, "since") || cli->json)
            return kh_fail(err, EINVAL,
                           "--prometheus goes alone: it is of all, since "
                           "the beginning");
        return print_prometheus(http, err);
    }
    r = make_path(args, &path, err);
    if (r == 0)
        r = kh_http_call(http, "GET", path, NULL, &answer, err);
    if (r < 0)
        return r;
    if (cli->json)
        kh_print_json(answer);
    else
        print_usage(answer, args->words && !kh_args_has(args, "since"));
    return KH_EXIT_OK;
}
