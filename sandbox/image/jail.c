#include "sandbox/image/jail.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clean.h"

#define LOW32  0xffffffffu
#define MEMORY (1024ull * 1024 * 1024) /* xz may want 65 MiB, zstd 128, JSON some */
#define CAPS   ((1u << CAP_CHOWN) | (1u << CAP_DAC_OVERRIDE) | (1u << CAP_FOWNER))

/* A tmpfs in place of everything: whatever stands at "/" afterwards is empty. */
static int
empty_root(struct kh_error *err)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("empty", "/usr", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=4k,mode=555") < 0 ||
        chdir("/usr") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return kh_fail_errno(err, "cannot leave the host's files");
    return 0;
}

static int
resources(const struct kh_import_limits *limits, struct kh_error *err)
{
#ifdef __SANITIZE_ADDRESS__
    const rlim_t memory = RLIM_INFINITY;
#else
    const rlim_t memory = MEMORY;
#endif
    const struct {
        int resource;
        rlim_t value;
    } rows[] = {
        {RLIMIT_AS, memory},           {RLIMIT_FSIZE, limits->bytes},
        {RLIMIT_CPU, limits->seconds}, {RLIMIT_CORE, 0},
        {RLIMIT_NOFILE, 256},
    };
    size_t i;

    for (i = 0; i < KH_COUNT(rows); i++) {
        const struct rlimit limit = {rows[i].value, rows[i].value};

        if (setrlimit(rows[i].resource, &limit) < 0)
            return kh_fail_errno(err, "cannot set resource limit %d", rows[i].resource);
    }
    /* A file over RLIMIT_FSIZE is an error to report, not the end. */
    signal(SIGXFSZ, SIG_IGN);
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
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return kh_fail_errno(err, "cannot set no_new_privs");
    return 0;
}

/* What libc, libarchive, jansson and libcrypto need, and the files of a layer. */
static const int allowed[] = {
    SCMP_SYS(read),          SCMP_SYS(pread64),
    SCMP_SYS(write),         SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),         SCMP_SYS(close),
    SCMP_SYS(fstat),         SCMP_SYS(newfstatat),
    SCMP_SYS(statx),         SCMP_SYS(fcntl),
    SCMP_SYS(openat),        SCMP_SYS(openat2),
    SCMP_SYS(readlinkat),    SCMP_SYS(mkdirat),
    SCMP_SYS(unlinkat),      SCMP_SYS(linkat),
    SCMP_SYS(symlinkat),     SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),      SCMP_SYS(fchown),
    SCMP_SYS(fchownat),      SCMP_SYS(utimensat),
    SCMP_SYS(ftruncate),     SCMP_SYS(fsetxattr),
    SCMP_SYS(fgetxattr),     SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),       SCMP_SYS(brk),
    SCMP_SYS(munmap),        SCMP_SYS(mremap),
    SCMP_SYS(madvise),       SCMP_SYS(futex),
    SCMP_SYS(getrandom),     SCMP_SYS(getpid),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(rt_sigreturn),  SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(exit_group),    SCMP_SYS(restart_syscall),
#ifdef __SANITIZE_ADDRESS__
    SCMP_SYS(mmap),          SCMP_SYS(mprotect),
    SCMP_SYS(sigaltstack),   SCMP_SYS(gettid),
    SCMP_SYS(sched_yield),   SCMP_SYS(rt_sigaction),
#endif
};

/* No page becomes executable, and the only node is overlayfs's whiteout. */
static int
conditional(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp no_exec = SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, 4, 0);
    int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec);

    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mknodat), 2,
                             SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, LOW32, S_IFCHR),
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
kh_jail_enter(const struct kh_import_limits *limits, struct kh_error *err)
{
    int r = syscall(SYS_close_range, KH_IMPORT_FD + 2, ~0u, 0) < 0
                ? kh_fail_errno(err, "cannot close descriptors")
                : 0;

    umask(0);
    if (r == 0)
        r = empty_root(err);
    if (r == 0)
        r = resources(limits, err);
    if (r == 0)
        r = capabilities(err);
    return r < 0 ? r : calls(err);
}
