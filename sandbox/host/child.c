#include "sandbox/host/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "protocol/link/init.h"
#include "sandbox/host/filter.h"
#include "sandbox/host/netns.h"
#include "sandbox/host/privs.h"
#include "sandbox/host/sys.h"

#define INIT_FD 3

static int
wait_for_go(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    char byte = 0;

    (void)plan;
    if (kh_fd_read_full(socket, &byte, 1) < 0 || byte != KH_CHILD_GO)
        return kh_fail(err, ECANCELED, "the start was cancelled");
    return 0;
}

/* The working directory is set while host root's ids still allow the path. */
static int
go_to_root(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    (void)socket;
    if (chdir(plan->mount_point) < 0)
        return kh_fail_errno(err, "cannot enter the new root");
    return 0;
}

static int
become_root(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    (void)plan;
    (void)socket;
    return kh_privs_become_root(err);
}

static int
put(const char *path, const char *text, struct kh_error *err)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return kh_fail_errno(err, "cannot open '%s'", path);
    if (write(fd, text, strlen(text)) < 0)
        return kh_fail_errno(err, "cannot write '%s'", path);
    return 0;
}

/* The cgroup namespace must be made after the process was moved to its cgroup.
 * The time namespace counts from the sandbox's start; it takes hold at exec
 * (6.2 and later) or, before that, for the children of PID 1. This comes before
 * the change of user, after which /proc/self is not the process's own. */
static int
more_namespaces(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    char text[96];

    (void)socket;
    if (unshare(CLONE_NEWCGROUP | CLONE_NEWTIME) < 0)
        return kh_fail_errno(err,
                             "cannot make the cgroup and time namespaces (hint: the "
                             "kernel needs CONFIG_TIME_NS)");
    snprintf(text, sizeof(text), "monotonic -%" PRId64 " 0\nboottime -%" PRId64 " 0\n",
             plan->uptime, plan->boottime);
    return put("/proc/self/timens_offsets", text, err);
}

static int
set_names(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    (void)socket;
    if (sethostname(plan->name, strlen(plan->name)) < 0 || setdomainname("", 0) < 0)
        return kh_fail_errno(err, "cannot set the host name");
    return 0;
}

static int
network(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    (void)plan;
    (void)socket;
    return kh_netns_up(err);
}

static int
counts(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    (void)plan;
    (void)socket;
    return kh_privs_counts(err);
}

/* pivot_root(".", ".") stacks the old root on the new one; it is then detached,
 * and with it every mount of the host. */
static int
pivot(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    (void)plan;
    (void)socket;
    if (kh_sys_pivot_root(".", ".") < 0)
        return kh_fail_errno(err, "cannot pivot into the new root");
    if (umount2(".", MNT_DETACH) < 0)
        return kh_fail_errno(err, "cannot detach the old root");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return kh_fail_errno(err, "cannot make the root private");
    if (chdir("/") < 0)
        return kh_fail_errno(err, "cannot enter '/'");
    return 0;
}

static int
descriptors(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    int null = open("/dev/null", O_RDWR | O_NOFOLLOW);
    int i;

    (void)plan;
    if (null < 0)
        return kh_fail_errno(err, "cannot open '/dev/null'");
    for (i = 0; i < 3; i++)
        if (null != i && dup2(null, i) < 0)
            return kh_fail_errno(err, "cannot set descriptor %d", i);
    if (socket != INIT_FD && dup2(socket, INIT_FD) < 0)
        return kh_fail_errno(err, "cannot set descriptor %d", INIT_FD);
    if (kh_fd_cloexec(INIT_FD, false) < 0 ||
        syscall(SYS_close_range, INIT_FD + 1, ~0u, 0) < 0)
        return kh_fail_errno(err, "cannot close descriptors");
    return 0;
}

static int
signals(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    sigset_t none;
    int sig;

    (void)plan;
    (void)socket;
    for (sig = 1; sig < NSIG; sig++)
        (void)signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(022);
    if (setsid() < 0)
        return kh_fail_errno(err, "cannot make a session");
    return 0;
}

static int
limits(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    (void)plan;
    (void)socket;
    return kh_privs_rlimits(err);
}

static int
privileges(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    (void)plan;
    (void)socket;
    return kh_privs_drop(err);
}

static int
filter(const struct kh_plan *plan, int socket, struct kh_error *err)
{
    (void)socket;
    return kh_filter_install(plan->filter, err);
}

/* In this order, each once. After `descriptors` the socket is INIT_FD. */
static int (*const steps[])(const struct kh_plan *, int, struct kh_error *) = {
    wait_for_go, go_to_root, more_namespaces, become_root, set_names,   network, counts,
    pivot,       signals,    limits,          privileges,  descriptors, filter,
};

void
kh_child_run(const struct kh_plan *plan, int socket)
{
    static char name[] = "kernelhost-init", fd[] = "3";
    static char *const argv[] = {name, fd, NULL};
    static char *const envp[] = {NULL};
    struct kh_error err = {0};
    size_t i;
    int r = 0;

    for (i = 0; r == 0 && i < KH_COUNT(steps); i++) {
        r = steps[i](plan, socket, &err);
        if (steps[i] == descriptors && r == 0)
            socket = INIT_FD;
    }
    if (r == 0) {
        execve(KH_INIT_BINARY, argv, envp);
        kh_fail_errno(&err, "cannot start '%s' inside", KH_INIT_BINARY);
    }
    (void)kh_fd_write_full(socket, &err, sizeof(err));
    _exit(1);
}
