/* snapshot export and import: kernelhost-snapshot writes and reads the files, as root,
 * beside the host; what it has unpacked becomes a snapshot when the host is asked. */
#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "kernelhost/cli/size.h"
#include "kernelhost/cli/text.h"
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

/* What kernelhost-snapshot gets: --NAME=VALUE, then the words. */
struct words {
    char *word[16];
    size_t count;
};

static void
add(struct words *words, const char *word)
{
    words->word[words->count++] = kh_xstrdup(word);
}

static void
add_value(struct words *words, const char *name, const char *value)
{
    if (value)
        words->word[words->count++] = kh_xasprintf("--%s=%s", name, value);
}

static void
words_release(struct words *words)
{
    while (words->count)
        free(words->word[--words->count]);
}

static int
add_size(struct words *words, const struct kh_args *args, struct kh_error *err)
{
    const char *text = kh_args_get(args, "max-size");
    AUTO_FREE char *number = NULL;
    uint64_t bytes;

    if (!text)
        return 0;
    if (kh_size_parse(text, &bytes, err) < 0)
        return kh_fail_in(err, "option '--max-size'");
    number = kh_xasprintf("%llu", (unsigned long long)bytes);
    add_value(words, "max-size", number);
    return 0;
}

static void
begin(struct words *words, const struct kh_cli *cli, const struct kh_args *args)
{
    add(words, TOOL);
    add_value(words, "state", cli->state);
    add_value(words, "key", kh_args_get(args, "key"));
    add_value(words, "image", kh_args_get(args, "image"));
}

/* Runs it; standard output goes to OUT (-1: ours). Returns its exit status. */
static int
run(const struct words *words, int out, struct kh_error *err)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (out >= 0 && dup2(out, STDOUT_FILENO) < 0)
            _exit(KH_EXIT_FAILURE);
        execv(TOOL, words->word);
        _exit(KH_EXIT_NOT_RUN);
    }
    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        return KH_EXIT_SIGNAL + WTERMSIG(status);
    if (WEXITSTATUS(status) == KH_EXIT_NOT_RUN)
        return kh_fail(err, EIO, "cannot run '%s' (hint: make install)", TOOL);
    return WEXITSTATUS(status);
}

int
kh_cmd_snapshot_export(struct kh_cli *cli, const struct kh_args *args,
                       struct kh_error *err)
{
    struct words words = {.count = 0};
    int r;

    begin(&words, cli, args);
    add(&words, "export");
    add(&words, args->word[0]);
    add(&words, args->word[1]);
    r = run(&words, -1, err);
    words_release(&words);
    return r;
}

/* Its only line of output is the id. */
static int
unpack(const struct words *words, char id[ID_SIZE + 1], struct kh_error *err)
{
    int pair[2], r;

    if (pipe(pair) < 0)
        return kh_fail_errno(err, "cannot make a pipe");
    (void)kh_fd_cloexec(pair[0], true);
    (void)kh_fd_cloexec(pair[1], true);
    r = run(words, pair[1], err);
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
    static const struct kh_args none;
    struct words words = {.count = 0};

    begin(&words, cli, &none);
    add(&words, "discard");
    add(&words, id);
    (void)run(&words, -1, NULL);
    words_release(&words);
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
    struct words words = {.count = 0};
    char id[ID_SIZE + 1] = "";
    uint64_t seconds = 0;
    int r;

    if (expires && kh_time_parse(expires, &seconds, err) < 0)
        return kh_fail_in(err, "option '--expires'");
    begin(&words, cli, args);
    r = add_size(&words, args, err);
    add(&words, "import");
    add(&words, args->word[0]);
    if (args->words > 1)
        add(&words, args->word[1]);
    if (r == 0)
        r = unpack(&words, id, err);
    words_release(&words);
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
