#include "sandbox/image/helper.h"

#include <errno.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clean.h"
#include "base/fd.h"
#include "sandbox/host/idmap.h"
#include "sandbox/host/privs.h"
#include "sandbox/host/sys.h"
#include "sandbox/image/wire.h"

#define PROGRAM KH_LIBEXECDIR "/kernelhost-import"
#define NAMESPACES                                                                     \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |        \
     CLONE_NEWUTS | CLONE_NEWCGROUP)

/* Below all that kernelhostd gives to sandboxes (idmap.h). Files are stored with the
 * ids that the mount makes of these, so several imports may share them. */
#define IDS (KH_IDMAP_BASE - KH_IDMAP_SIZE)

/* By descriptor: the new root may not be able to reach the program by its path. */
static _Noreturn void
child(int program, int link)
{
    static char name[] = "kernelhost-import";
    char *argv[] = {name, NULL}, *envp[] = {NULL};
    int null = open("/dev/null", O_RDWR);
    sigset_t none;
    char go;
    int i;

    program = fcntl(program, F_DUPFD_CLOEXEC, KH_IMPORT_FD + 1);
    sigemptyset(&none);
    if (program < 0 || kh_fd_read_full(link, &go, 1) < 0 ||
        kh_privs_become_root(NULL) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || setsid() < 0 || null < 0)
        _exit(1);
    for (i = 0; i < 3; i++)
        if (dup2(null, i) < 0)
            _exit(1);
    for (i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (link == KH_IMPORT_FD)
        (void)kh_fd_cloexec(link, false);
    else if (dup2(link, KH_IMPORT_FD) < 0)
        _exit(1);
    execveat(program, "", argv, envp, AT_EMPTY_PATH);
    _exit(1);
}

static int
open_userns(pid_t pid, struct kh_error *err)
{
    char path[48];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? kh_fail_errno(err, "cannot open the helper's user namespace") : fd;
}

int
kh_helper_start(struct kh_helper *ret_helper, struct kh_error *err)
{
    struct kh_helper helper = {.pid = -1, .pidfd = -1, .link = -1, .userns = -1};
    AUTO_FD int program = open(PROGRAM, O_RDONLY | O_CLOEXEC);
    int pair[2], r;

    if (program < 0)
        return kh_fail_errno(err, "cannot open '%s' (hint: make install)", PROGRAM);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return kh_fail_errno(err, "cannot make a socket pair");
    helper.link = pair[0];
    kh_fd_refuse_fds(helper.link);
    helper.pid = kh_sys_clone(NAMESPACES, -1, &helper.pidfd);
    if (helper.pid == 0)
        child(program, pair[1]);
    close(pair[1]);
    if (helper.pid < 0) {
        close(helper.link);
        return kh_fail_errno(err, "cannot make the helper's namespaces (hint: sysctl "
                                  "user.max_user_namespaces)");
    }
    r = kh_idmap_write(helper.pid, IDS, err);
    if (r == 0)
        r = helper.userns = open_userns(helper.pid, err);
    if (r >= 0)
        r = kh_fd_send(helper.link, "g", 1, -1);
    if (r < 0) {
        kh_helper_end(&helper);
        return err && err->code ? r : kh_fail(err, EIO, "the helper is gone");
    }
    *ret_helper = helper;
    return 0;
}

void
kh_helper_end(struct kh_helper *helper)
{
    (void)kh_sys_pidfd_signal(helper->pidfd, SIGKILL);
    while (waitpid(helper->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    kh_fd_close(&helper->pidfd);
    kh_fd_close(&helper->link);
    kh_fd_close(&helper->userns);
}

int
kh_helper_view(const struct kh_helper *helper, int dir, struct kh_error *err)
{
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                    MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW,
        .propagation = MS_PRIVATE,
        .userns_fd = (uint64_t)helper->userns,
    };
    AUTO_FD int tree =
        open_tree(dir, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree < 0)
        return kh_fail_errno(err, "cannot clone a layer's mount");
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return kh_fail_errno(err,
                             "cannot idmap a layer (hint: the state directory must be "
                             "on a filesystem with idmapped mounts, like ext4, xfs or "
                             "btrfs)");
    return STEAL_FD(tree);
}
