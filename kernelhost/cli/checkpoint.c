/* checkpoint, checkpoints: points to go back to, of a kernel or of a sandbox. */
#include "kernelhost/cli/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/size.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/jsontree.h"

#define KERNEL_OPTION                                                                  \
    {                                                                                  \
        "kernel", 0, "ID", "this kernel, where there are several"                      \
    }

const struct kh_option kh_options_checkpoint[] = {
    KERNEL_OPTION,
    {"files", 0, NULL, "of the whole sandbox: its files and all processes"},
    {"label", 0, "TEXT", "what to call it, for people"},
    {0},
};
const struct kh_option kh_options_checkpoints[] = {
    KERNEL_OPTION,
    {0},
};

/* An id is put into a path: it is letters, digits and hyphens. */
static bool
is_plain(const char *id)
{
    return *id && strlen(id) < 64 &&
           !id[strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
                          "YZ-")];
}

/* The id of the sandbox's kernel: the one that was named, or the only one. */
static int
choose_kernel(struct kh_http *http, const struct kh_args *args, char **ret_id,
              struct kh_error *err)
{
    const char *given = kh_args_get(args, "kernel"), *name = args->word[0];
    AUTO_JSON json_t *answer = NULL;
    AUTO_FREE char *path = NULL;
    const json_t *kernels;
    int r = kh_http_path(name, "kernels", &path, err);

    if (r == 0)
        r = kh_http_call(http, "GET", path, NULL, &answer, err);
    if (r < 0)
        return r;
    kernels = json_object_get(answer, "kernels");
    if (!given && json_array_size(kernels) == 0)
        return kh_fail(
            err, ENOENT,
            "sandbox '%s' has no kernel (hint: kernelhost run %s starts one)", name,
            name);
    if (!given && json_array_size(kernels) > 1)
        return kh_fail(err, EINVAL,
                       "sandbox '%s' has %zu kernels (hint: --kernel ID; kernelhost "
                       "show %s lists them)",
                       name, json_array_size(kernels), name);
    if (!given)
        given = kh_http_text(json_array_get(kernels, 0), "id");
    if (!is_plain(given))
        return kh_fail(err, EINVAL, "'%.64s' is no kernel id", given);
    *ret_id = kh_xstrdup(given);
    return 0;
}

int
kh_checkpoint_call(struct kh_http *http, const struct kh_args *args, char **kernel,
                   const char *method, const char *rest, json_t *body,
                   json_t **ret_answer, struct kh_error *err)
{
    AUTO_FREE char *below = NULL, *path = NULL;
    int r = *kernel ? 0 : choose_kernel(http, args, kernel, err);

    if (r < 0)
        return r;
    below = kh_xasprintf("kernels/%s/checkpoints%s", *kernel, rest);
    r = kh_http_path(args->word[0], below, &path, err);
    return r < 0 ? r : kh_http_call(http, method, path, body, ret_answer, err);
}

int
kh_checkpoint_whole(struct kh_http *http, const struct kh_args *args,
                    const char *method, json_t *body, json_t **ret_answer,
                    struct kh_error *err)
{
    AUTO_FREE char *path = NULL;
    int r = kh_http_path(args->word[0], "checkpoints", &path, err);

    return r < 0 ? r : kh_http_call(http, method, path, body, ret_answer, err);
}

long long
kh_checkpoint_integer(const json_t *object, const char *member)
{
    return json_integer_value(json_object_get(object, member));
}

void
kh_checkpoint_lost(const json_t *checkpoint)
{
    struct kh_buf out = KH_BUF_INIT;
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(checkpoint, "lost"), i, one)
    {
        AUTO_FREE char *line = kh_xasprintf(
            "not kept: %s %s%s%s", kh_http_text(one, "what"), kh_http_text(one, "name"),
            *kh_http_text(one, "why") ? ": " : "", kh_http_text(one, "why"));

        kh_text_safe(&out, line, strlen(line));
        kh_buf_add(&out, "\n", 1);
    }
    if (kh_checkpoint_integer(checkpoint, "dropped"))
        kh_buf_addf(&out, "checkpoint %lld was dropped: there were too many\n",
                    kh_checkpoint_integer(checkpoint, "dropped"));
    kh_fd_write_full(STDERR_FILENO, kh_buf_ptr(&out), kh_buf_len(&out));
    kh_buf_release(&out);
}

int
kh_cmd_checkpoint(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_FREE char *kernel = NULL;
    const char *label = kh_args_get(args, "label");
    AUTO_JSON json_t *body = json_object(), *answer = NULL;
    char id[32];
    bool files = kh_args_has(args, "files");
    int r = label ? kh_http_set_text(body, "label", "label", label, err) : 0;

    if (r == 0 && files && kh_args_has(args, "kernel"))
        r = kh_fail(err, EINVAL, "--files is about all kernels: there is no --kernel");
    if (r == 0)
        r = files ? kh_checkpoint_whole(http, args, "POST", body, &answer, err)
                  : kh_checkpoint_call(http, args, &kernel, "POST", "", body, &answer,
                                       err);
    if (r < 0)
        return r;
    if (cli->json) {
        kh_print_json(answer);
        return KH_EXIT_OK;
    }
    if (files) {
        kh_print_line(kh_http_text(answer, "name"));
        return KH_EXIT_OK;
    }
    snprintf(id, sizeof(id), "%lld", kh_checkpoint_integer(answer, "id"));
    kh_print_line(id);
    kh_checkpoint_lost(answer);
    return KH_EXIT_OK;
}

static int
list_kernel(struct kh_http *http, const struct kh_args *args, const char *id,
            json_t *list, struct kh_error *err)
{
    AUTO_FREE char *kernel = kh_xstrdup(id);
    AUTO_JSON json_t *answer = NULL;
    json_t *one;
    size_t i;
    int r = kh_checkpoint_call(http, args, &kernel, "GET", "", NULL, &answer, err);

    json_array_foreach(json_object_get(answer, "checkpoints"), i, one)
    {
        json_object_set_new(one, "of", json_string("kernel"));
        json_object_set_new(one, "kernel", json_string(id));
        json_array_append(list, one);
    }
    return r;
}

/* Of the kernel that was named, or of all. */
static int
list_kernels(struct kh_http *http, const struct kh_args *args, json_t *list,
             struct kh_error *err)
{
    const char *given = kh_args_get(args, "kernel");
    AUTO_JSON json_t *answer = NULL;
    AUTO_FREE char *path = NULL;
    const json_t *one;
    size_t i;
    int r = kh_http_path(args->word[0], "kernels", &path, err);

    if (r == 0 && given)
        return is_plain(given) ? list_kernel(http, args, given, list, err)
                               : kh_fail(err, EINVAL, "'%.64s' is no kernel id", given);
    if (r == 0)
        r = kh_http_call(http, "GET", path, NULL, &answer, err);
    json_array_foreach(json_object_get(answer, "kernels"), i, one)
    {
        if (r >= 0 && is_plain(kh_http_text(one, "id")))
            r = list_kernel(http, args, kh_http_text(one, "id"), list, err);
    }
    return r;
}

static int
list_whole(struct kh_http *http, const struct kh_args *args, json_t *list,
           struct kh_error *err)
{
    AUTO_JSON json_t *answer = NULL;
    json_t *one;
    size_t i;
    int r = kh_checkpoint_whole(http, args, "GET", NULL, &answer, err);

    json_array_foreach(json_object_get(answer, "checkpoints"), i, one)
    {
        json_object_set_new(one, "of", json_string("sandbox"));
        json_array_append(list, one);
    }
    return r;
}

static void
add_row(struct kh_table *table, const json_t *one)
{
    bool whole = !strcmp(kh_http_text(one, "of"), "sandbox");
    const char *label = kh_http_text(one, "label");
    char id[32], of[32], executed[32], lost[32], created[KH_TIME_TEXT];

    snprintf(id, sizeof(id), "%lld", kh_checkpoint_integer(one, "id"));
    snprintf(of, sizeof(of), "kernel %.8s", kh_http_text(one, "kernel"));
    snprintf(executed, sizeof(executed), "%lld",
             kh_checkpoint_integer(one, "execution_count"));
    snprintf(lost, sizeof(lost), "%zu", json_array_size(json_object_get(one, "lost")));
    kh_table_add(table, whole ? kh_http_text(one, "name") : id);
    kh_table_add(table, !whole                                         ? of
                        : json_is_true(json_object_get(one, "memory")) ? "sandbox"
                                                                       : "files");
    kh_table_add(table, *label ? label : NULL);
    kh_table_add(table, whole ? NULL : executed);
    kh_table_add(table, whole ? NULL : lost);
    kh_table_add(table, kh_print_time(kh_http_text(one, "created"), created));
}

int
kh_cmd_checkpoints(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    struct kh_table table = KH_TABLE_INIT;
    AUTO_JSON json_t *list = json_array();
    const json_t *one;
    size_t i;
    int r = list_kernels(http, args, list, err);

    if (r >= 0)
        r = list_whole(http, args, list, err);
    if (r < 0)
        return r;
    if (cli->json) {
        kh_print_json(list);
        return KH_EXIT_OK;
    }
    kh_table_head(&table, "CHECKPOINT OF LABEL EXECUTED NOT-KEPT CREATED");
    json_array_foreach(list, i, one)
    {
        add_row(&table, one);
    }
    kh_print_table(&table);
    kh_table_release(&table);
    return KH_EXIT_OK;
}
