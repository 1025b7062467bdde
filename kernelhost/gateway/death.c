#include "kernelhost/gateway/death.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "protocol/link/runner.h"

void
kh_death_size(uint64_t bytes, char *out, size_t size)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t i = 0;

    while (value >= 1024 && i + 1 < sizeof(unit) / sizeof(*unit)) {
        value /= 1024;
        i++;
    }
    if (value == (double)(uint64_t)value)
        snprintf(out, size, "%.0f %s", value, unit[i]);
    else
        snprintf(out, size, "%.1f %s", value, unit[i]);
}

/* What a signal usually means to whoever wrote the cell. */
static const char *
meaning(int signum)
{
    static const struct {
        int signum;
        const char *meaning;
    } table[] = {
        {SIGSEGV, "invalid memory access in native code"},
        {SIGBUS, "invalid memory access in native code"},
        {SIGILL, "an instruction this processor does not have"},
        {SIGFPE, "an arithmetic fault in native code"},
        {SIGABRT, "native code gave up by abort()"},
        {SIGKILL, "killed from outside or by itself"},
        {SIGSYS, "a system call that is not allowed"},
        {SIGXCPU, "its processor time was used up"},
    };
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (table[i].signum == signum)
            return table[i].meaning;
    return NULL;
}

static void
signal_text(int signum, char *text, size_t size)
{
    const char *name = sigabbrev_np(signum);
    const char *means = meaning(signum);
    char number[24];

    if (!name) {
        snprintf(number, sizeof(number), "number %d", signum);
        snprintf(text, size, "the kernel died: signal %s", number);
        return;
    }
    snprintf(text, size, "the kernel died: SIG%s%s%s%s", name, means ? " (" : "",
             means ? means : "", means ? ")" : "");
}

void
kh_death_text(const struct kh_death *death, char ret_text[KH_DEATH_TEXT_MAX])
{
    int status = (int)death->status;
    char limit[32];

    if (death->status == KH_STATUS_UNKNOWN) {
        snprintf(ret_text, KH_DEATH_TEXT_MAX, "the kernel could not be started%s%.300s",
                 death->reason && *death->reason ? ": " : "",
                 death->reason ? death->reason : "");
        return;
    }
    if (death->oom_kills && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        kh_death_size(death->memory_limit, limit, sizeof(limit));
        snprintf(ret_text, KH_DEATH_TEXT_MAX,
                 "the kernel died: memory limit of %s reached (%u process%s killed)",
                 death->memory_limit ? limit : "the sandbox", death->oom_kills,
                 death->oom_kills == 1 ? "" : "es");
        return;
    }
    if (WIFSIGNALED(status))
        signal_text(WTERMSIG(status), ret_text, KH_DEATH_TEXT_MAX);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        snprintf(ret_text, KH_DEATH_TEXT_MAX, "the kernel ended (exit status 0)");
    else if (WIFEXITED(status) && WEXITSTATUS(status) == KH_RUNNER_UNFIT)
        snprintf(
            ret_text, KH_DEATH_TEXT_MAX,
            "the kernel died: exit status %d (as when the image's Python has no "
            "IPython; hint: pip install ipython matplotlib-inline in the image, or "
            "kernelhost image build)",
            KH_RUNNER_UNFIT);
    else if (WIFEXITED(status))
        snprintf(ret_text, KH_DEATH_TEXT_MAX, "the kernel died: exit status %d",
                 WEXITSTATUS(status));
    else
        snprintf(ret_text, KH_DEATH_TEXT_MAX, "the kernel died: wait status 0x%x",
                 death->status);
}
