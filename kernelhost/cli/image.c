/* image: what changes and shows the image store. kernelhost-image does it, on the state
 * directory itself: neither a host nor the gateway is needed, or trusted with it. */
#include "base/clean.h"
#include "kernelhost/cli/tool.h"

#define ENTRIES_MAX 100000000u
#define TIMEOUT_MAX (7u * 24 * 3600)

const struct kh_option kh_options_image_import[] = {
    {"ref", 0, "NAME", "which image, if the archive holds several"},
    {"max-size", 0, "SIZE", "refuse images that are larger (32G)"},
    {"max-entries", 0, "N", "refuse images with more files (2000000)"},
    {"timeout", 0, "SECONDS", "give up after that time (1800)"},
    {0},
};

const struct kh_option kh_options_image_build[] = {
    {"from", 0, "IMAGE", "build on this image (default)"},
    {"packages", 0, "FILE", "Debian packages to add, one a line"},
    {"requirements", 0, "FILE", "Python packages to add, as for pip"},
    {0},
};

static int
become(const struct kh_cli *cli, const char *command, const struct kh_args *args,
       struct kh_error *err)
{
    static const char *const values[] = {"ref", "from", "packages", "requirements"};
    struct kh_tool tool;
    size_t i;
    int r;

    kh_tool_init(&tool, KH_LIBEXECDIR "/kernelhost-image", cli);
    kh_tool_value(&tool, "json", cli->json ? "1" : NULL);
    for (i = 0; i < KH_COUNT(values); i++)
        kh_tool_value(&tool, values[i], kh_args_get(args, values[i]));
    r = kh_tool_size(&tool, args, "max-size", err);
    if (r == 0)
        r = kh_tool_number(&tool, args, "max-entries", ENTRIES_MAX, err);
    if (r == 0)
        r = kh_tool_number(&tool, args, "timeout", TIMEOUT_MAX, err);
    kh_tool_word(&tool, command);
    for (i = 0; i < args->words; i++)
        kh_tool_word(&tool, args->word[i]);
    if (r == 0)
        r = kh_tool_become(&tool, err);
    kh_tool_release(&tool);
    return r;
}

int
kh_cmd_image_ls(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    return become(cli, "ls", args, err);
}

int
kh_cmd_image_import(struct kh_cli *cli, const struct kh_args *args,
                    struct kh_error *err)
{
    return become(cli, "import", args, err);
}

int
kh_cmd_image_build(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    return become(cli, "build", args, err);
}

int
kh_cmd_image_rm(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    return become(cli, "rm", args, err);
}
