#include "sandbox/archive/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clean.h"

#define LOW32  0xffffffffu
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

static int
resources(struct kh_error *err)
{
#ifdef __SANITIZE_ADDRESS__
    const rlim_t memory = RLIM_INFINITY;
#else
    const rlim_t memory = MEMORY;
#endif
    const struct {
        int resource;
        rlim_t value;
    } rows[] = {{RLIMIT_AS, memory}, {RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 64}};
    size_t i;

    for (i = 0; i < KH_COUNT(rows); i++) {
        const struct rlimit limit = {rows[i].value, rows[i].value};

        if (setrlimit(rows[i].resource, &limit) < 0)
            return kh_fail_errno(err, "cannot set resource limit %d", rows[i].resource);
    }
    return 0;
}

static int
capabilities(struct kh_error *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = CAPS, .permitted = CAPS}};
    int cap;

    for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return kh_fail_errno(err, "cannot drop capability %d", cap);
    if (syscall(SYS_capset, &head, data) < 0)
        return kh_fail_errno(err, "cannot drop capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return kh_fail_errno(err, "cannot set no_new_privs");
    return 0;
}

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
#ifdef __SANITIZE_ADDRESS__
    SCMP_SYS(mmap),          SCMP_SYS(mprotect),     SCMP_SYS(sigaltstack),
    SCMP_SYS(gettid),        SCMP_SYS(sched_yield),  SCMP_SYS(rt_sigaction),
    SCMP_SYS(getpid),
#endif
};

/* No page becomes executable, and no node is a device but overlayfs's whiteout. */
static int
conditional(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp no_exec = SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, 4, 0);
    const unsigned kinds[] = {S_IFIFO, S_IFSOCK, S_IFCHR};
    int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec);
    size_t i;

    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
    for (i = 0; i < KH_COUNT(kinds) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mknodat), 2,
                             SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, S_IFMT, kinds[i]),
                             SCMP_CMP64(3, SCMP_CMP_MASKED_EQ, LOW32, 0));
    return r;
}

static int
calls(struct kh_error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    size_t i;
    int r = filter ? 0 : -ENOMEM;

    for (i = 0; i < KH_COUNT(allowed) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (r == 0)
        r = conditional(filter);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r < 0 ? kh_fail(err, -r, "cannot filter the system calls: %s", strerror(-r))
                 : 0;
}

int
kh_jail_enter(int *in, int *result, int *dir, struct kh_error *err)
{
    int r = descriptors(in, result, dir, err);

    umask(0);
    if (r == 0)
        r = surroundings(*dir, err);
    if (r == 0)
        r = resources(err);
    if (r == 0)
        r = capabilities(err);
    return r < 0 ? r : calls(err);
}
