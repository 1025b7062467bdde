/* snapshot export and import: kernelhost-snapshot writes and reads the files, as root,
 * beside the host; what it has unpacked becomes a snapshot when the host is asked. */
#include <errno.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/size.h"
#include "kernelhost/cli/text.h"
#include "kernelhost/cli/tool.h"
#include "protocol/jupyter/jsontree.h"

#define TOOL    KH_LIBEXECDIR "/kernelhost-snapshot"
#define ID_SIZE 32u

const struct kh_option kh_options_snapshot_export[] = {
    {"key", 0, "FILE", "the key to authenticate it with"},
    {0},
};

const struct kh_option kh_options_snapshot_import[] = {
    {"key", 0, "FILE", "the key it was made with, if not this host's"},
    {"image", 'i', "IMAGE", "lay the files on this image"},
    {"max-size", 0, "SIZE", "refuse it if the files are larger (10G)"},
    {"expires", 0, "TIME", "remove the snapshot after that time: 90s, 1h, 7d"},
    {0},
};

static void
begin(struct kh_tool *tool, const struct kh_cli *cli, const struct kh_args *args)
{
    kh_tool_init(tool, TOOL, cli);
    kh_tool_value(tool, "key", kh_args_get(args, "key"));
    kh_tool_value(tool, "image", kh_args_get(args, "image"));
}

int
kh_cmd_snapshot_export(struct kh_cli *cli, const struct kh_args *args,
                       struct kh_error *err)
{
    struct kh_tool tool;
    int r;

    begin(&tool, cli, args);
    kh_tool_word(&tool, "export");
    kh_tool_word(&tool, args->word[0]);
    kh_tool_word(&tool, args->word[1]);
    r = kh_tool_become(&tool, err);
    kh_tool_release(&tool);
    return r;
}

/* Its only line of output is the id. */
static int
unpack(struct kh_tool *tool, char id[ID_SIZE + 1], struct kh_error *err)
{
    int pair[2], r;

    if (pipe(pair) < 0)
        return kh_fail_errno(err, "cannot make a pipe");
    (void)kh_fd_cloexec(pair[0], true);
    (void)kh_fd_cloexec(pair[1], true);
    r = kh_tool_run(tool, pair[1], err);
    close(pair[1]);
    if (r == 0 && kh_fd_read_full(pair[0], id, ID_SIZE) < 0)
        r = kh_fail(err, EIO, "'%s' did not say what it unpacked", TOOL);
    close(pair[0]);
    id[ID_SIZE] = '\0';
    return r;
}

static void
discard(const struct kh_cli *cli, const char *id)
{
    struct kh_tool tool;

    kh_tool_init(&tool, TOOL, cli);
    kh_tool_word(&tool, "discard");
    kh_tool_word(&tool, id);
    (void)kh_tool_run(&tool, -1, NULL);
    kh_tool_release(&tool);
}

static int
adopt(const struct kh_cli *cli, const char *id, uint64_t seconds, json_t **ret_snapshot,
      struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *body = json_pack("{s:s}", "import", id);

    if (seconds)
        json_object_set_new(body, "expires", json_integer((json_int_t)seconds));
    return kh_http_call(http, "POST", "/v1/snapshots", body, ret_snapshot, err);
}

int
kh_cmd_snapshot_import(struct kh_cli *cli, const struct kh_args *args,
                       struct kh_error *err)
{
    const char *expires = kh_args_get(args, "expires");
    AUTO_JSON json_t *snapshot = NULL;
    AUTO_FREE char *name = NULL;
    struct kh_tool tool;
    char id[ID_SIZE + 1] = "";
    uint64_t seconds = 0;
    int r;

    if (expires && kh_time_parse(expires, &seconds, err) < 0)
        return kh_fail_in(err, "option '--expires'");
    begin(&tool, cli, args);
    r = kh_tool_size(&tool, args, "max-size", err);
    kh_tool_word(&tool, "import");
    kh_tool_word(&tool, args->word[0]);
    if (args->words > 1)
        kh_tool_word(&tool, args->word[1]);
    if (r == 0)
        r = unpack(&tool, id, err);
    kh_tool_release(&tool);
    if (r != 0)
        return r;
    r = adopt(cli, id, seconds, &snapshot, err);
    if (r < 0) {
        discard(cli, id);
        return r;
    }
    name = kh_text_safe_copy(kh_http_text(snapshot, "name"));
    if (cli->json)
        kh_print_json(snapshot);
    else
        kh_print_line(name);
    return KH_EXIT_OK;
}
