#include "sandbox/archive/jail.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clean.h"
#include "sandbox/image/drop.h"

#define MEMORY (512ull * 1024 * 1024)
#define FIRST  10 /* of our three descriptors */
/* SYS_ADMIN is what the kernel asks of who sets overlayfs's marks ("trusted."); of what
 * else it would allow, no system call is left. */
#define CAPS                                                                           \
    ((1u << CAP_CHOWN) | (1u << CAP_DAC_OVERRIDE) | (1u << CAP_FOWNER) |               \
     (1u << CAP_FSETID) | (1u << CAP_SYS_ADMIN))

static int
descriptors(int *in, int *result, int *dir, struct kh_error *err)
{
    int *const keep[] = {in, result, dir};
    size_t i;

    for (i = 0; i < KH_COUNT(keep); i++) {
        *keep[i] = fcntl(*keep[i], F_DUPFD_CLOEXEC, FIRST + 3 * 16);
        if (*keep[i] < 0)
            return kh_fail_errno(err, "cannot keep a descriptor");
    }
    for (i = 0; i < KH_COUNT(keep); i++) {
        if (dup3(*keep[i], FIRST + (int)i, O_CLOEXEC) < 0)
            return kh_fail_errno(err, "cannot keep a descriptor");
        *keep[i] = FIRST + (int)i;
    }
    if (syscall(SYS_close_range, 0, FIRST - 1, 0) < 0 ||
        syscall(SYS_close_range, FIRST + KH_COUNT(keep), ~0u, 0) < 0)
        return kh_fail_errno(err, "cannot close descriptors");
    return 0;
}

static int
surroundings(int dir, struct kh_error *err)
{
    if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
        unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                CLONE_NEWCGROUP) < 0)
        return kh_fail_errno(err, "cannot leave the host's namespaces");
    if (fchdir(dir) < 0 || chroot(".") < 0)
        return kh_fail_errno(err, "cannot leave the host's files");
    return 0;
}

static const struct kh_drop_limit limits[] = {
    {RLIMIT_AS, MEMORY}, {RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 64}};

static const int allowed[] = {
    SCMP_SYS(read),          SCMP_SYS(write),        SCMP_SYS(pwrite64),
    SCMP_SYS(close),         SCMP_SYS(openat),       SCMP_SYS(openat2),
    SCMP_SYS(mkdirat),       SCMP_SYS(unlinkat),     SCMP_SYS(linkat),
    SCMP_SYS(symlinkat),     SCMP_SYS(fchmod),       SCMP_SYS(fchmodat),
    SCMP_SYS(fchown),        SCMP_SYS(fchownat),     SCMP_SYS(utimensat),
    SCMP_SYS(ftruncate),     SCMP_SYS(fsetxattr),    SCMP_SYS(brk),
    SCMP_SYS(munmap),        SCMP_SYS(mremap),       SCMP_SYS(madvise),
    SCMP_SYS(futex),         SCMP_SYS(getrandom),    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),    SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(clock_gettime), SCMP_SYS(exit_group),   SCMP_SYS(restart_syscall),
};

/* overlayfs's whiteout is a character device. */
static const struct kh_drop_node nodes[] = {
    {S_IFMT, S_IFIFO}, {S_IFMT, S_IFSOCK}, {S_IFMT, S_IFCHR}};

int
kh_jail_enter(int *in, int *result, int *dir, struct kh_error *err)
{
    int r = descriptors(in, result, dir, err);

    umask(0);
    if (r == 0)
        r = surroundings(*dir, err);
    if (r == 0)
        r = kh_drop_limits(limits, KH_COUNT(limits), err);
    if (r == 0)
        r = kh_drop_capabilities(CAPS, err);
    return r < 0
               ? r
               : kh_drop_calls(allowed, KH_COUNT(allowed), nodes, KH_COUNT(nodes), err);
}
