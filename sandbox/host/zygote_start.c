/* From clone to exec of a zygote. The child has a copy of our memory and is single
 * threaded, and as nothing else goes on in it, it may allocate. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "protocol/link/init.h"
#include "sandbox/host/idmap.h"
#include "sandbox/host/image.h"
#include "sandbox/host/plan.h"
#include "sandbox/host/privs.h"
#include "sandbox/host/rootfs.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/zygote.h"

#define CONTROL_FD  3
#define PROGRAM     KH_INIT_RUNNERS "/zygote"
#define ORDERS_SIZE (256 * 1024) /* of its socket: the orders are one message */

static int
open_layers(const struct kh_zygote *zygote, struct kh_plan *plan, struct kh_error *err)
{
    const struct kh_host *host = zygote->host;

    plan->id_first = kh_idmap_first(host->id_base, zygote->slot);
    plan->owner = kh_zygote_owner(zygote);
    plan->mount_point = host->mount_point;
    plan->layer[plan->layers] = fcntl(host->kit, F_DUPFD_CLOEXEC, 0);
    if (plan->layer[plan->layers++] < 0)
        return kh_fail_errno(err, "cannot duplicate a descriptor");
    return kh_image_open(&host->store, zygote->image_id, plan, err);
}

static int
place_descriptors(int control, struct kh_error *err)
{
    int null = open("/dev/null", O_RDWR | O_NOFOLLOW), i;

    if (null < 0)
        return kh_fail_errno(err, "cannot open '/dev/null'");
    for (i = 0; i < 3; i++)
        if (null != i && dup2(null, i) < 0)
            return kh_fail_errno(err, "cannot set descriptor %d", i);
    if (control != CONTROL_FD && dup2(control, CONTROL_FD) < 0)
        return kh_fail_errno(err, "cannot set descriptor %d", CONTROL_FD);
    if (kh_fd_cloexec(CONTROL_FD, false) < 0 ||
        syscall(SYS_close_range, CONTROL_FD + 1, ~0u, 0) < 0)
        return kh_fail_errno(err, "cannot close descriptors");
    return 0;
}

/* Its children inherit it: they are what the kernel shall kill before init. */
static int
offer_to_oom(struct kh_error *err)
{
    AUTO_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, "500", 3) < 0)
        return kh_fail_errno(err, "cannot set '/proc/self/oom_score_adj'");
    return 0;
}

static int
plain_signals(struct kh_error *err)
{
    sigset_t none;
    int sig;

    for (sig = 1; sig < NSIG; sig++)
        (void)signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setsid() < 0)
        return kh_fail_errno(err, "cannot make a session");
    return 0;
}

static int
prepare(const struct kh_zygote *zygote, const struct kh_plan *plan, int userns,
        int control, struct kh_error *err)
{
    static const char name[] = "zygote";

    if (plain_signals(err) < 0 || offer_to_oom(err) < 0)
        return -err->code;
    if (sethostname(name, strlen(name)) < 0 || setdomainname("", 0) < 0)
        return kh_fail_errno(err, "cannot set the host name");
    if (kh_rootfs_enter(plan, userns, err) < 0 || kh_privs_rlimits(err) < 0 ||
        place_descriptors(control, err) < 0 ||
        kh_privs_become_nobody(plan->owner, err) < 0)
        return -err->code;
    umask(022);
    return kh_filter_install(zygote->host->zygote_filter, err);
}

static void __attribute__((noreturn))
run(const struct kh_zygote *zygote, const struct kh_plan *plan, int userns, int control)
{
    static char *argv[] = {(char *)KH_PYTHON, (char *)PROGRAM, (char *)"3", NULL};
    /* One thread: what a library starts as it is loaded is not there in a child. */
    static const char *const envp[] = {KH_USER_ENV,         KH_PYTHON_ENV,
                                       "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1",
                                       "MKL_NUM_THREADS=1", NULL};
    struct kh_error err = {0};
    char word[1 + KH_ERROR_TEXT_MAX];
    int n;

    if (prepare(zygote, plan, userns, control, &err) == 0) {
        if (access(KH_PYTHON_LOCAL, X_OK) == 0)
            argv[0] = (char *)KH_PYTHON_LOCAL; /* as kernelhost-init does */
        execve(argv[0], argv, (char *const *)envp);
        kh_fail_errno(&err, "cannot run '%s'", argv[0]);
    }
    n = snprintf(word, sizeof(word), "F%s", err.text);
    if (send(CONTROL_FD, word, (size_t)n, MSG_NOSIGNAL) < 0)
        (void)send(control, word, (size_t)n, MSG_NOSIGNAL);
    _exit(1);
}

int
kh_zygote_spawn(struct kh_zygote *zygote, pid_t *ret_pid, int *ret_pidfd, int *ret_sock,
                struct kh_error *err)
{
    static const struct kh_limits none;
    AUTO(kh_plan) struct kh_plan *plan = kh_plan_new("zygote", &none);
    AUTO_FD int birth = kh_cgroup_birth(zygote->host->groups, zygote->image_id);
    AUTO_FD int userns = -1, ours = -1, theirs = -1;
    int pair[2], size = ORDERS_SIZE, r;

    r = open_layers(zygote, plan, err);
    if (r < 0)
        return r;
    userns = kh_idmap_hold(plan->id_first, err);
    if (userns < 0)
        return userns;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return kh_fail_errno(err, "cannot make a socket pair");
    ours = pair[0];
    theirs = pair[1];
    (void)setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    (void)kh_fd_nonblock(ours, true);
    kh_fd_refuse_fds(ours);
    *ret_pid =
        kh_sys_clone(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, birth, ret_pidfd);
    if (*ret_pid == 0)
        run(zygote, plan, userns, theirs);
    if (*ret_pid < 0)
        return kh_fail_errno(err, "cannot make the zygote's process");
    *ret_sock = STEAL_FD(ours);
    return kh_cgroup_add(zygote->host->groups, zygote->image_id, *ret_pid, err);
}
