#include "sandbox/host/spawn.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "sandbox/host/child.h"
#include "sandbox/host/idmap.h"
#include "sandbox/host/posture.h"
#include "sandbox/host/privs.h"
#include "sandbox/host/rootfs.h"
#include "sandbox/host/sys.h"

#define NAMESPACES                                                                     \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |        \
     CLONE_NEWUTS)

static int
go(int socket, struct kh_error *err)
{
    char byte = KH_CHILD_GO;
    int r = kh_fd_write_full(socket, &byte, 1);

    return r < 0 ? kh_fail(err, -r, "the first process is gone") : 0;
}

/* One byte means that init listens; anything longer is an error to pass on. The
 * init may be one that the sandbox put in place of ours, so nothing waits for bytes
 * that it does not send: both messages are written, and arrive, whole. */
static int
wait_ready(int socket, struct kh_error *err)
{
    struct pollfd poller = {.fd = socket, .events = POLLIN};
    struct kh_error inner = {0};
    ssize_t n;
    int r;

    do
        r = poll(&poller, 1, KH_SPAWN_TIMEOUT_MS);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        return kh_fail(err, ETIMEDOUT, "kernelhost-init was not ready in %d s",
                       KH_SPAWN_TIMEOUT_MS / 1000);
    n = recv(socket, &inner, sizeof(inner), MSG_DONTWAIT);
    if (n == 1 && *(char *)&inner == KH_CHILD_READY)
        return 0;
    if (n != sizeof(inner))
        return kh_fail(err, EIO, "the first process ended without a word");
    inner.text[sizeof(inner.text) - 1] = '\0';
    if (inner.code <= 0)
        inner.code = EIO;
    if (err)
        *err = inner;
    return -inner.code;
}

static int
set_up(const struct kh_plan *plan, struct kh_cgroups *groups, const char *id, pid_t pid,
       int pidfd, int socket, struct kh_error *err)
{
    int r = kh_idmap_write(pid, plan->id_first, err);

    if (r == 0)
        r = kh_cgroup_add(groups, id, pid, err);
    if (r == 0)
        r = kh_rootfs_attach(plan, pid, pidfd, err);
    if (r == 0)
        r = go(socket, err);
    if (r == 0)
        r = wait_ready(socket, err);
    return r < 0 ? r : kh_posture_check(plan->id_first, pid, err);
}

void
kh_spawn_undo(struct kh_cgroups *groups, const char *id, pid_t pid)
{
    kh_cgroup_kill(groups, id);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int
kh_spawn(const struct kh_plan *plan, struct kh_cgroups *groups, const char *id,
         pid_t *ret_pid, int *ret_pidfd, struct kh_error *err)
{
    AUTO_FD int birth = kh_cgroup_birth(groups, id);
    AUTO_FD int pidfd = -1, ours = -1;
    int pair[2], r, code;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return kh_fail_errno(err, "cannot make a socket pair");
    ours = pair[0];
    kh_fd_refuse_fds(ours);
    r = kh_privs_lend_euid(plan->owner, err);
    if (r < 0) {
        close(pair[1]);
        return r;
    }
    pid = kh_sys_clone(NAMESPACES, birth, &pidfd);
    code = errno;
    if (pid != 0 && kh_privs_take_euid_back(err) < 0)
        abort(); /* nothing could go on as another user */
    errno = code;
    if (pid == 0) {
        close(pair[0]);
        kh_child_run(plan, pair[1]);
    }
    close(pair[1]);
    if (pid < 0)
        return kh_fail_errno(err, "cannot make the namespaces (hint: sysctl "
                                  "user.max_user_namespaces, kernel 5.19 or later)");
    r = set_up(plan, groups, id, pid, pidfd, ours, err);
    if (r < 0) {
        kh_spawn_undo(groups, id, pid);
        return r;
    }
    *ret_pid = pid;
    *ret_pidfd = STEAL_FD(pidfd);
    return 0;
}
