/* sys: system calls that glibc 2.36 has no wrapper for, and nothing else.
 *
 * Each returns what the system call returns, with errno set on -1. */
#ifndef KH_HOST_SYS_H
#define KH_HOST_SYS_H

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* fork(2) with clone3 flags: the child goes on after this call with a copy of
 * the memory. Returns its pid (0 in the child) and a pidfd (close-on-exec).
 * CGROUP is a v2 cgroup directory to be born in, or -1. */
static inline pid_t
kh_sys_clone(uint64_t flags, int cgroup, int *ret_pidfd)
{
    struct clone_args args = {
        .flags = flags | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
        .exit_signal = 17, /* SIGCHLD */
    };

    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* openat2 under DIR as if DIR were the root, without following any symbolic or
 * magic link: for every path that an image or a sandbox controls. */
static inline int
kh_sys_open_in(int dir, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };

    return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static inline int
kh_sys_pivot_root(const char *new_root, const char *put_old)
{
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}

static inline int
kh_sys_pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static inline int
kh_sys_pidfd_signal(int pidfd, int sig)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

#endif
