#include "sandbox/host/process.h"

#include <errno.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "protocol/link/broker.h"
#include "sandbox/host/sys.h"

static void *by_pid;

static int
compare(const void *a, const void *b)
{
    const struct kh_process *p = a, *q = b;

    return (p->pid > q->pid) - (p->pid < q->pid);
}

/* As waitpid would have told it. */
static int
status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return W_EXITCODE(info->si_status, 0);
    return W_EXITCODE(0, info->si_status) |
           (info->si_code == CLD_DUMPED ? WCOREFLAG : 0);
}

static void
ready(struct kh_watch *watch, uint32_t events)
{
    struct kh_process *process = watch->owner;
    void (*ended)(struct kh_process *, int) = process->ended;
    siginfo_t info = {0};
    int status = KH_STATUS_UNKNOWN;

    (void)events;
    if (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG) == 0) {
        if (info.si_pid == 0)
            return; /* not yet */
        status = status_of(&info);
    }
    kh_process_forget(process);
    ended(process, status);
    kh_process_reap_others();
}

int
kh_process_watch(struct kh_process *process, pid_t pid, int pidfd,
                 void (*ended)(struct kh_process *, int status), void *owner,
                 struct kh_error *err)
{
    struct kh_process fresh = {pid, pidfd, ended, owner, {0}};
    int r;

    *process = fresh;
    r = kh_watch_add(&process->watch, pidfd, EPOLLIN, ready, process, err);
    if (r < 0) {
        kh_fd_close(&process->pidfd);
        process->pid = 0;
        return r;
    }
    if (!tsearch(process, &by_pid, compare))
        abort();
    return 0;
}

void
kh_process_forget(struct kh_process *process)
{
    if (process->pid)
        tdelete(process, &by_pid, compare);
    kh_watch_remove(&process->watch);
    kh_fd_close(&process->pidfd);
    process->pid = 0;
}

bool
kh_process_exists(const struct kh_process *process)
{
    return process->pid && kh_sys_pidfd_signal(process->pidfd, 0) == 0;
}

void
kh_process_kill(const struct kh_process *process, int sig)
{
    if (process->pid)
        (void)kh_sys_pidfd_signal(process->pidfd, sig);
}

void
kh_process_reap(struct kh_process *process)
{
    siginfo_t info;

    while (process->pid && waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED) < 0 &&
           errno == EINTR)
        ;
    kh_process_forget(process);
}

void
kh_process_reap_others(void)
{
    for (;;) {
        siginfo_t info = {0};
        struct kh_process key;

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
            return;
        key.pid = info.si_pid;
        /* One of ours is first in the queue: its own event reaps it, and comes
         * back here for those behind it. */
        if (tfind(&key, &by_pid, compare))
            return;
        (void)waitpid(info.si_pid, NULL, WNOHANG);
    }
}
