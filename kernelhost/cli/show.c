#include "kernelhost/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/limits.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/size.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/jsontree.h"

#define SIZE_OF(object, member, out)                                                   \
    kh_size_text((uint64_t)json_integer_value(json_object_get(object, member)), out)

static void add(struct kh_buf *out, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
add(struct kh_buf *out, const char *label, const char *format, ...)
{
    char value[512];
    va_list args;

    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    kh_buf_addf(out, "%-10s", label);
    kh_text_safe(out, value, strlen(value));
    kh_buf_add(out, "\n", 1);
}

static long long
integer(const json_t *object, const char *member)
{
    return json_integer_value(json_object_get(object, member));
}

static void
add_usage(struct kh_buf *out, const json_t *sandbox)
{
    const json_t *limits = json_object_get(sandbox, "limits");
    const json_t *usage = json_object_get(sandbox, "usage");
    char now[KH_SIZE_TEXT], peak[KH_SIZE_TEXT], limit[KH_SIZE_TEXT];

    add(out, "memory", "%s of %s (peak %s)", SIZE_OF(usage, "memory", now),
        SIZE_OF(limits, "memory", limit), SIZE_OF(usage, "memory_peak", peak));
    add(out, "cpus", "%g (%.1f s used)",
        json_number_value(json_object_get(limits, "cpus")),
        json_number_value(json_object_get(usage, "cpu_seconds")));
    add(out, "pids", "%lld of %lld", integer(usage, "pids"), integer(limits, "pids"));
    if (integer(limits, "disk"))
        add(out, "disk", "at most %s", SIZE_OF(limits, "disk", limit));
    if (integer(usage, "oom_kills"))
        add(out, "oom kills", "%lld (hint: kernelhost limits %s --memory SIZE)",
            integer(usage, "oom_kills"), kh_http_text(sandbox, "name"));
}

static void
add_sleep(struct kh_buf *out, const json_t *sandbox)
{
    char saved[KH_SIZE_TEXT], idle[KH_IDLE_TEXT];

    add(out, "idle", "%s", kh_idle_text(json_object_get(sandbox, "ladder"), idle));
    if (integer(sandbox, "saved"))
        add(out, "asleep", "%s of memory on the disk",
            SIZE_OF(sandbox, "saved", saved));
    if (*kh_http_text(sandbox, "problem"))
        add(out, "problem", "%s", kh_http_text(sandbox, "problem"));
}

static void
add_kernels(struct kh_buf *out, const json_t *kernels)
{
    struct kh_table table = KH_TABLE_INIT;
    const json_t *kernel;
    size_t i;

    if (!json_array_size(kernels)) {
        add(out, "kernels", "none");
        return;
    }
    kh_buf_addf(out, "\n");
    kh_table_head(&table, "KERNEL NAME STATE CLIENTS EXECUTED ACTIVE");
    json_array_foreach(kernels, i, kernel)
    {
        char clients[32], executed[32], active[KH_TIME_TEXT];

        snprintf(clients, sizeof(clients), "%lld", integer(kernel, "connections"));
        snprintf(executed, sizeof(executed), "%lld",
                 integer(kernel, "execution_count"));
        kh_table_add(&table, kh_http_text(kernel, "id"));
        kh_table_add(&table, kh_http_text(kernel, "name"));
        kh_table_add(&table, kh_http_text(kernel, "execution_state"));
        kh_table_add(&table, clients);
        kh_table_add(&table, executed);
        kh_table_add(&table,
                     kh_print_time(kh_http_text(kernel, "last_activity"), active));
    }
    kh_table_print(&table, out);
    kh_table_release(&table);
    json_array_foreach(kernels, i, kernel) if (*kh_http_text(kernel, "problem"))
        add(out, "problem", "%s", kh_http_text(kernel, "problem"));
}

static void
print_sandbox(const json_t *sandbox)
{
    struct kh_buf out = KH_BUF_INIT;
    char created[KH_TIME_TEXT], started[KH_TIME_TEXT];

    add(&out, "name", "%s", kh_http_text(sandbox, "name"));
    add(&out, "id", "%s", kh_http_text(sandbox, "id"));
    add(&out, "state", "%s", kh_http_text(sandbox, "state"));
    add(&out, "image", "%s", kh_http_text(sandbox, "image"));
    add(&out, "created", "%s",
        kh_print_time(kh_http_text(sandbox, "created"), created));
    add(&out, "started", "%s",
        kh_print_time(kh_http_text(sandbox, "started"), started));
    add_usage(&out, sandbox);
    add_sleep(&out, sandbox);
    add_kernels(&out, json_object_get(sandbox, "kernels"));
    kh_fd_write_full(STDOUT_FILENO, kh_buf_ptr(&out), kh_buf_len(&out));
    kh_buf_release(&out);
}

int
kh_cmd_show(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *sandbox = NULL;
    AUTO_FREE char *path = NULL;
    int r = kh_http_path(args->word[0], NULL, &path, err);

    if (r == 0)
        r = kh_http_call(http, "GET", path, NULL, &sandbox, err);
    if (r < 0)
        return r;
    if (cli->json)
        kh_print_json(sandbox);
    else
        print_sandbox(sandbox);
    return KH_EXIT_OK;
}
