/* kernelhost-hook: what CRIU runs at the stages of a restore (hook.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/host/hook.h"

static const struct {
    const char *action; /* criu(8), --action-script */
    enum kh_hook_stage stage;
} stages[] = {
    {"setup-namespaces", KH_HOOK_NAMESPACES},
    {"pre-resume", KH_HOOK_READY},
};

/* CRIU closes all descriptors of what it runs, but has its own. */
static int
open_talk(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, getppid(), 0);

    return pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, KH_HOOK_FD, 0);
}

static int
ask(enum kh_hook_stage stage)
{
    const char *pid = getenv("CRTOOLS_INIT_PID");
    struct kh_hook_message message = {.stage = stage, .pid = pid ? atoi(pid) : 0};
    int talk = open_talk();
    char answer = 0;
    ssize_t n;

    if (talk < 0 ||
        send(talk, &message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
        return 1;
    do
        n = recv(talk, &answer, 1, 0);
    while (n < 0 && errno == EINTR);
    return n != 1 || answer != 'G';
}

int
main(void)
{
    const char *action = getenv("CRTOOLS_SCRIPT_ACTION");
    size_t i;

    for (i = 0; action && i < sizeof(stages) / sizeof(*stages); i++)
        if (!strcmp(action, stages[i].action))
            return ask(stages[i].stage);
    return 0;
}
