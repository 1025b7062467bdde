/* rollback, checkpoint rm: what checkpoints are for. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/cli/checkpoint.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/size.h"
#include "protocol/jupyter/jsontree.h"
#include "protocol/link/broker.h"

/* What begins with a digit and goes on so is a number. */
static bool
is_number(const char *text)
{
    return *text && !text[strspn(text, "0123456789")];
}

static int
check_number(const char *text, struct kh_error *err)
{
    uint64_t number;

    return kh_count_parse("CHECKPOINT", text, 1, UINT32_MAX, &number, err);
}

static int
check_word(const char *text, struct kh_error *err)
{
    char padded[KH_NAME_SIZE + 1] = "";

    if (is_number(text))
        return check_number(text, err);
    snprintf(padded, sizeof(padded), "%s", text);
    if (!kh_snapshot_name_valid(padded, false))
        return kh_fail(
            err, EINVAL,
            "'%.64s' is neither the number of a checkpoint nor the name of a "
            "snapshot",
            text);
    return 0;
}

/* ---- checkpoint rm ---- */

static bool
is_listed(const json_t *answer, const char *name)
{
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(answer, "checkpoints"), i, one)
    {
        if (!strcmp(kh_http_text(one, "name"), name))
            return true;
    }
    return false;
}

static int
remove_whole(struct kh_http *http, const struct kh_args *args, const char *name,
             struct kh_error *err)
{
    AUTO_FREE char *path = kh_xasprintf("/v1/snapshots/%s", name);
    AUTO_JSON json_t *answer = NULL;
    int r = kh_checkpoint_whole(http, args, "GET", NULL, &answer, err);

    if (r >= 0 && !is_listed(answer, name))
        return kh_fail(err, ENOENT,
                       "sandbox '%s' has no checkpoint '%s' (hint: kernelhost "
                       "checkpoints %s)",
                       args->word[0], name, args->word[0]);
    return r < 0 ? r : kh_http_call(http, "DELETE", path, NULL, NULL, err);
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
        r = check_word(args->word[i], err);
    for (i = 1; r >= 0 && i < args->words; i++) {
        AUTO_FREE char *rest = kh_xasprintf("/%s", args->word[i]);

        r = is_number(args->word[i]) ? kh_checkpoint_call(http, args, &kernel, "DELETE",
                                                          rest, NULL, NULL, err)
                                     : remove_whole(http, args, args->word[i], err);
    }
    return r < 0 ? r : KH_EXIT_OK;
}

/* ---- rollback ---- */

/* The newest one. */
static int
choose_newest(struct kh_http *http, const struct kh_args *args, char **kernel,
              long long *ret_number, struct kh_error *err)
{
    AUTO_JSON json_t *answer = NULL;
    const json_t *one;
    size_t i;
    int r = kh_checkpoint_call(http, args, kernel, "GET", "", NULL, &answer, err);

    if (r < 0)
        return r;
    *ret_number = 0;
    json_array_foreach(json_object_get(answer, "checkpoints"), i, one)
    {
        if (kh_checkpoint_integer(one, "id") > *ret_number)
            *ret_number = kh_checkpoint_integer(one, "id");
    }
    if (*ret_number)
        return 0;
    return kh_fail(
        err, ENOENT,
        "the kernel has no checkpoint (hint: kernelhost checkpoint %s, before "
        "what may have to be undone)",
        args->word[0]);
}

static int
roll_kernel(struct kh_http *http, const struct kh_args *args, json_t **ret_answer,
            char **ret_line, struct kh_error *err)
{
    AUTO_FREE char *kernel = NULL, *rest = NULL;
    long long newest = 0;
    int r = args->words > 1 ? check_number(args->word[1], err)
                            : choose_newest(http, args, &kernel, &newest, err);

    if (r < 0)
        return r;
    rest = args->words > 1 ? kh_xasprintf("/%s/rollback", args->word[1])
                           : kh_xasprintf("/%lld/rollback", newest);
    r = kh_checkpoint_call(http, args, &kernel, "POST", rest, NULL, ret_answer, err);
    if (r >= 0)
        *ret_line = kh_xasprintf("rolled back to checkpoint %lld, after [%lld]",
                                 kh_checkpoint_integer(*ret_answer, "id"),
                                 kh_checkpoint_integer(*ret_answer, "execution_count"));
    return r;
}

static int
roll_whole(struct kh_http *http, const struct kh_args *args, json_t **ret_answer,
           char **ret_line, struct kh_error *err)
{
    AUTO_JSON json_t *body = NULL;
    AUTO_FREE char *path = NULL;
    int r = kh_http_path(args->word[0], "rollback", &path, err);

    if (r == 0)
        r = check_word(args->word[1], err);
    if (r == 0 && kh_args_has(args, "kernel"))
        r = kh_fail(err, EINVAL,
                    "a snapshot is of all kernels: there is no --kernel with it");
    if (r < 0)
        return r;
    body = json_pack("{s:s}", "snapshot", args->word[1]);
    r = kh_http_call(http, "POST", path, body, ret_answer, err);
    if (r >= 0)
        *ret_line = kh_xasprintf("rolled back to snapshot %s, %s", args->word[1],
                                 json_is_true(json_object_get(*ret_answer, "memory"))
                                     ? "files and processes"
                                     : "files");
    return r;
}

int
kh_cmd_rollback(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *answer = NULL;
    AUTO_FREE char *line = NULL;
    int r = args->words > 1 && !is_number(args->word[1])
                ? roll_whole(http, args, &answer, &line, err)
                : roll_kernel(http, args, &answer, &line, err);

    if (r < 0)
        return r;
    if (cli->json) {
        kh_print_json(answer);
        return KH_EXIT_OK;
    }
    kh_print_line(line);
    kh_checkpoint_lost(answer);
    return KH_EXIT_OK;
}
