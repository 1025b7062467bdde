#include "sandbox/image/jail.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clean.h"
#include "sandbox/image/drop.h"

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
    const struct kh_drop_limit rows[] = {
        {RLIMIT_AS, MEMORY},           {RLIMIT_FSIZE, limits->bytes},
        {RLIMIT_CPU, limits->seconds}, {RLIMIT_CORE, 0},
        {RLIMIT_NOFILE, 256},
    };

    /* A file over RLIMIT_FSIZE is an error to report, not the end. */
    signal(SIGXFSZ, SIG_IGN);
    return kh_drop_limits(rows, KH_COUNT(rows), err);
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
};

/* overlayfs's whiteout. */
static const struct kh_drop_node nodes[] = {{~0u, S_IFCHR}};

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
        r = kh_drop_capabilities(CAPS, err);
    if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        r = kh_fail_errno(err, "cannot end with who started this");
    return r < 0
               ? r
               : kh_drop_calls(allowed, KH_COUNT(allowed), nodes, KH_COUNT(nodes), err);
}
