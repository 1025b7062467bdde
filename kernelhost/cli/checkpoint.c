/* checkpoint, checkpoints, checkpoint rm, rollback: a kernel as it was. */
#include "kernelhost/cli/cli.h"

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

/* Asks about the checkpoints of *KERNEL, which is chosen when it is NULL; REST is
 * behind ".../checkpoints". */
static int
call(struct kh_http *http, const struct kh_args *args, char **kernel,
     const char *method, const char *rest, json_t *body, json_t **ret_answer,
     struct kh_error *err)
{
    AUTO_FREE char *below = NULL, *path = NULL;
    int r = *kernel ? 0 : choose_kernel(http, args, kernel, err);

    if (r < 0)
        return r;
    below = kh_xasprintf("kernels/%s/checkpoints%s", *kernel, rest);
    r = kh_http_path(args->word[0], below, &path, err);
    return r < 0 ? r : kh_http_call(http, method, path, body, ret_answer, err);
}

static long long
integer(const json_t *object, const char *member)
{
    return json_integer_value(json_object_get(object, member));
}

/* What will not come back, or did not, on standard error. */
static void
print_lost(const json_t *checkpoint)
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
    if (integer(checkpoint, "dropped"))
        kh_buf_addf(&out, "checkpoint %lld was dropped: there were too many\n",
                    integer(checkpoint, "dropped"));
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
    int r = label ? kh_http_set_text(body, "label", "label", label, err) : 0;

    if (r == 0)
        r = call(http, args, &kernel, "POST", "", body, &answer, err);
    if (r < 0)
        return r;
    if (cli->json) {
        kh_print_json(answer);
        return KH_EXIT_OK;
    }
    snprintf(id, sizeof(id), "%lld", integer(answer, "id"));
    kh_print_line(id);
    print_lost(answer);
    return KH_EXIT_OK;
}

int
kh_cmd_checkpoints(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_FREE char *kernel = NULL;
    struct kh_table table = KH_TABLE_INIT;
    AUTO_JSON json_t *answer = NULL;
    const json_t *one;
    size_t i;
    int r = call(http, args, &kernel, "GET", "", NULL, &answer, err);

    if (r < 0)
        return r;
    if (cli->json) {
        kh_print_json(json_object_get(answer, "checkpoints"));
        return KH_EXIT_OK;
    }
    kh_table_head(&table, "CHECKPOINT LABEL EXECUTED NOT-KEPT CREATED");
    json_array_foreach(json_object_get(answer, "checkpoints"), i, one)
    {
        const char *label = kh_http_text(one, "label");
        char id[32], executed[32], lost[32], created[KH_TIME_TEXT];

        snprintf(id, sizeof(id), "%lld", integer(one, "id"));
        snprintf(executed, sizeof(executed), "%lld", integer(one, "execution_count"));
        snprintf(lost, sizeof(lost), "%zu",
                 json_array_size(json_object_get(one, "lost")));
        kh_table_add(&table, id);
        kh_table_add(&table, *label ? label : NULL);
        kh_table_add(&table, executed);
        kh_table_add(&table, lost);
        kh_table_add(&table, kh_print_time(kh_http_text(one, "created"), created));
    }
    kh_print_table(&table);
    kh_table_release(&table);
    return KH_EXIT_OK;
}

static int
check_number(const char *text, struct kh_error *err)
{
    uint64_t number;

    return kh_count_parse("CHECKPOINT", text, 1, UINT32_MAX, &number, err);
}

int
kh_cmd_checkpoint_rm(struct kh_cli *cli, const struct kh_args *args,
                     struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_FREE char *kernel = NULL;
    size_t i;
    int r = 0;

    for (i = 1; r == 0 && i < args->words; i++)
        r = check_number(args->word[i], err);
    for (i = 1; r >= 0 && i < args->words; i++) {
        AUTO_FREE char *rest = kh_xasprintf("/%s", args->word[i]);

        r = call(http, args, &kernel, "DELETE", rest, NULL, NULL, err);
    }
    return r < 0 ? r : KH_EXIT_OK;
}

/* The newest one. */
static int
choose_newest(struct kh_http *http, const struct kh_args *args, char **kernel,
              long long *ret_number, struct kh_error *err)
{
    AUTO_JSON json_t *answer = NULL;
    const json_t *one;
    size_t i;
    int r = call(http, args, kernel, "GET", "", NULL, &answer, err);

    if (r < 0)
        return r;
    *ret_number = 0;
    json_array_foreach(json_object_get(answer, "checkpoints"), i, one)
    {
        if (integer(one, "id") > *ret_number)
            *ret_number = integer(one, "id");
    }
    if (*ret_number)
        return 0;
    return kh_fail(
        err, ENOENT,
        "the kernel has no checkpoint (hint: kernelhost checkpoint %s, before "
        "what may have to be undone)",
        args->word[0]);
}

int
kh_cmd_rollback(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_FREE char *kernel = NULL;
    AUTO_JSON json_t *answer = NULL;
    AUTO_FREE char *rest = NULL, *line = NULL;
    long long newest = 0;
    int r = args->words > 1 ? check_number(args->word[1], err)
                            : choose_newest(http, args, &kernel, &newest, err);

    if (r < 0)
        return r;
    rest = args->words > 1 ? kh_xasprintf("/%s/rollback", args->word[1])
                           : kh_xasprintf("/%lld/rollback", newest);
    r = call(http, args, &kernel, "POST", rest, NULL, &answer, err);
    if (r < 0)
        return r;
    if (cli->json) {
        kh_print_json(answer);
        return KH_EXIT_OK;
    }
    line = kh_xasprintf("rolled back to checkpoint %lld, after [%lld]",
                        integer(answer, "id"), integer(answer, "execution_count"));
    kh_print_line(line);
    print_lost(answer);
    return KH_EXIT_OK;
}
