#include "kernelhost/cli/tool.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/cli/size.h"

static void
add(struct kh_tool *tool, char *word)
{
    tool->word = kh_xrealloc(tool->word, (tool->count + 2) * sizeof(*tool->word));
    tool->word[tool->count++] = word;
    tool->word[tool->count] = NULL;
}

void
kh_tool_init(struct kh_tool *tool, const char *program, const struct kh_cli *cli)
{
    *tool = (struct kh_tool){.count = 0};
    kh_tool_word(tool, program);
    kh_tool_value(tool, "state", cli->state);
}

void
kh_tool_release(struct kh_tool *tool)
{
    while (tool->count)
        free(tool->word[--tool->count]);
    free(tool->word);
    tool->word = NULL;
}

void
kh_tool_word(struct kh_tool *tool, const char *word)
{
    add(tool, kh_xstrdup(word));
}

void
kh_tool_value(struct kh_tool *tool, const char *name, const char *value)
{
    if (value)
        add(tool, kh_xasprintf("--%s=%s", name, value));
}

int
kh_tool_size(struct kh_tool *tool, const struct kh_args *args, const char *name,
             struct kh_error *err)
{
    const char *text = kh_args_get(args, name);
    uint64_t bytes;

    if (!text)
        return 0;
    if (kh_size_parse(text, &bytes, err) < 0)
        return kh_fail_in(err, "option '--%s'", name);
    add(tool, kh_xasprintf("--%s=%llu", name, (unsigned long long)bytes));
    return 0;
}

int
kh_tool_number(struct kh_tool *tool, const struct kh_args *args, const char *name,
               uint64_t most, struct kh_error *err)
{
    const char *text = kh_args_get(args, name);
    uint64_t value;
    int r = text ? kh_count_parse(name, text, 1, most, &value, err) : 0;

    if (text && r == 0)
        add(tool, kh_xasprintf("--%s=%llu", name, (unsigned long long)value));
    return r;
}

int
kh_tool_become(struct kh_tool *tool, struct kh_error *err)
{
    execv(tool->word[0], tool->word);
    return errno == ENOENT ? kh_fail(err, EIO, "cannot find '%s' (hint: make install)",
                                     tool->word[0])
                           : kh_fail_errno(err, "cannot run '%s'", tool->word[0]);
}

static const int terminal[] = {SIGINT, SIGQUIT, SIGHUP};

static _Noreturn void
child(struct kh_tool *tool, int out, pid_t parent, const struct sigaction *before)
{
    size_t i;

    for (i = 0; i < KH_COUNT(terminal); i++)
        sigaction(terminal[i], &before[i], NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0 && getppid() == parent &&
        (out < 0 || dup2(out, STDOUT_FILENO) >= 0))
        execv(tool->word[0], tool->word);
    _exit(KH_EXIT_NOT_RUN);
}

int
kh_tool_run(struct kh_tool *tool, int out, struct kh_error *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before[KH_COUNT(terminal)];
    pid_t parent = getpid(), pid;
    int status = 0;
    size_t i;

    for (i = 0; i < KH_COUNT(terminal); i++)
        sigaction(terminal[i], &ignore, &before[i]);
    pid = fork();
    if (pid == 0)
        child(tool, out, parent, before);
    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        return KH_EXIT_SIGNAL + WTERMSIG(status);
    if (WEXITSTATUS(status) == KH_EXIT_NOT_RUN)
        return kh_fail(err, EIO, "cannot run '%s' (hint: make install)", tool->word[0]);
    return WEXITSTATUS(status);
}
