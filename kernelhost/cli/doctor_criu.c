/* Whether sandboxes can hibernate: CRIU must be there, and fit the kernel. */
#include "kernelhost/cli/doctor.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"

#define OUR_CRIU KH_LIBEXECDIR "/criu"
#define CURE     "hint: ./dev build puts one that fits beside kernelhostd"

/* As kernelhostd looks for it (sandbox/host/criu.h). */
static bool
find(const char *argv[5])
{
    static const char *const ours[] = {
        OUR_CRIU "/usr/lib64/ld-linux-x86-64.so.2", "--library-path",
        OUR_CRIU "/usr/lib/x86_64-linux-gnu", OUR_CRIU "/usr/sbin/criu", NULL};
    static const char *const system[] = {"/usr/sbin/criu", "/usr/local/sbin/criu"};
    size_t i;

    if (access(ours[0], X_OK) == 0 && access(ours[3], X_OK) == 0) {
        memcpy(argv, ours, sizeof(ours));
        return true;
    }
    for (i = 0; i < KH_COUNT(system); i++)
        if (access(system[i], X_OK) == 0) {
            argv[0] = system[i];
            argv[1] = NULL;
            return true;
        }
    return false;
}

/* Runs `criu check`; OUT gets the last line of what it says. Its status, or -1. */
static int
check(const char *const *words, char *out, size_t size)
{
    const char *argv[8];
    char text[4096] = "";
    int ends[2], status = -1;
    size_t n = 0, used = 0;
    ssize_t got;
    pid_t pid;

    for (; words[n]; n++)
        argv[n] = words[n];
    argv[n++] = "check";
    argv[n] = NULL;
    if (pipe2(ends, 0) < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)dup2(ends[1], STDERR_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(ends[1]);
    while (used + 1 < sizeof(text) &&
           (got = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)got;
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    text[used] = '\0';
    while (used && text[used - 1] == '\n')
        text[--used] = '\0';
    snprintf(out, size, "%s", strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text);
    return pid < 0 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

void
kh_fact_hibernation(const struct kh_cli *cli, struct kh_finding *finding)
{
    const char *argv[8] = {NULL};
    char said[160];

    (void)cli;
    if (!find(argv)) {
        kh_finding_bad(finding, KH_FINDING_WARN, CURE,
                       "there is no criu: sandboxes freeze, but do not hibernate");
        return;
    }
    if (geteuid() != 0) {
        kh_finding_ok(finding, "criu is there; root can tell whether it works");
        return;
    }
    if (check(argv, said, sizeof(said)) == 0)
        kh_finding_ok(finding, "criu works on this kernel");
    else
        kh_finding_bad(finding, KH_FINDING_WARN, CURE,
                       "criu does not work on this kernel: %s", said);
}
