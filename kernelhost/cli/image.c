/* image: what changes and shows the image store. kernelhost-image does it, on the state
 * directory itself: neither a host nor the gateway is needed, or trusted with it. */
#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/cli/size.h"

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

/* What kernelhost-image gets: --NAME=VALUE as we checked it, then the words. */
struct words {
    char **word;
    size_t count;
};

static void
add_value(struct words *words, const char *name, const char *value)
{
    if (value)
        words->word[words->count++] = kh_xasprintf("--%s=%s", name, value);
}

/* A number of bytes, entries or seconds: checked here, for the hint in the error. */
static int
add_number(struct words *words, const struct kh_args *args, const char *name,
           uint64_t most, struct kh_error *err)
{
    const char *text = kh_args_get(args, name);
    uint64_t value;
    int r;

    if (!text)
        return 0;
    r = most ? kh_count_parse(name, text, 1, most, &value, err)
             : kh_size_parse(text, &value, err);
    if (r == 0)
        words->word[words->count++] =
            kh_xasprintf("--%s=%llu", name, (unsigned long long)value);
    return r;
}

/* It takes our place: its exit status, and the terminal's signals, are ours. */
static int
become(const struct kh_cli *cli, const char *command, const struct kh_args *args,
       struct kh_error *err)
{
    static const char tool[] = KH_LIBEXECDIR "/kernelhost-image";
    struct words words = {.word = kh_xcalloc(args->words + 16, sizeof(char *))};
    size_t i;
    int r;

    words.word[words.count++] = (char *)tool;
    add_value(&words, "state", cli->state);
    add_value(&words, "json", cli->json ? "1" : NULL);
    add_value(&words, "ref", kh_args_get(args, "ref"));
    add_value(&words, "from", kh_args_get(args, "from"));
    add_value(&words, "packages", kh_args_get(args, "packages"));
    add_value(&words, "requirements", kh_args_get(args, "requirements"));
    r = add_number(&words, args, "max-size", 0, err);
    if (r == 0)
        r = add_number(&words, args, "max-entries", ENTRIES_MAX, err);
    if (r == 0)
        r = add_number(&words, args, "timeout", TIMEOUT_MAX, err);
    words.word[words.count++] = (char *)command;
    for (i = 0; i < args->words; i++)
        words.word[words.count++] = (char *)args->word[i];
    if (r == 0) {
        execv(tool, words.word);
        r = errno == ENOENT
                ? kh_fail(err, EIO, "cannot find '%s' (hint: make install)", tool)
                : kh_fail_errno(err, "cannot run '%s'", tool);
    }
    free(words.word); /* the rest goes with the process */
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
