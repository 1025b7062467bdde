#include "kernelhost/gateway/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clean.h"

/* The header of the build machine may be older than the kernel. */
struct ruleset {
    uint64_t handled_fs;
    uint64_t handled_net;
    uint64_t scoped;
};

#define FS_ACCESS_ABI1  ((1ull << 13) - 1)
#define FS_REFER        (1ull << 13) /* ABI 2 */
#define FS_TRUNCATE     (1ull << 14) /* ABI 3 */
#define FS_IOCTL_DEV    (1ull << 15) /* ABI 5 */
#define NET_BIND_TCP    (1ull << 0)  /* ABI 4 */
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT  (1ull << 0) /* ABI 6 */
#define SCOPE_SIGNAL    (1ull << 1)

static uint64_t
fs_access(int abi)
{
    return FS_ACCESS_ABI1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
           (abi >= 5 ? FS_IOCTL_DEV : 0);
}

static size_t
ruleset_size(int abi)
{
    if (abi >= 6)
        return sizeof(struct ruleset);
    return abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

static int
add_directory(int ruleset, const char *path, uint64_t access, struct kh_error *err)
{
    AUTO_FD int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct landlock_path_beneath_attr beneath = {.allowed_access = access,
                                                 .parent_fd = dir};

    if (dir < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
                           &beneath, 0) < 0)
        return kh_fail_errno(err, "cannot confine the gateway to its directory");
    return 0;
}

static int
landlock(const char *registry_dir, int *ret_abi, struct kh_error *err)
{
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
                           LANDLOCK_CREATE_RULESET_VERSION);
    struct ruleset attr = {.handled_fs = fs_access(abi),
                           .handled_net = NET_CONNECT_TCP,
                           .scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL};
    AUTO_FD int ruleset = -1;
    int r;

    *ret_abi = 0;
    if (abi < 1)
        return 0; /* an older kernel, or switched off: the own uid remains */
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, ruleset_size(abi), 0);
    if (ruleset < 0)
        return kh_fail_errno(err, "cannot make a Landlock ruleset");
    r = add_directory(ruleset, ".", attr.handled_fs, err);
    if (r == 0 && registry_dir)
        r = add_directory(ruleset, registry_dir, attr.handled_fs, err);
    if (r < 0)
        return r;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return kh_fail_errno(err, "cannot confine the gateway with Landlock");
    *ret_abi = abi;
    return 0;
}

/* What glibc, libuv, libzmq, libmicrohttpd and this program need once they run. */
static const int allowed[] = {
    /* bytes */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(close),
    SCMP_SYS(lseek),
    SCMP_SYS(sendfile),
    SCMP_SYS(dup),
    SCMP_SYS(dup3),
    SCMP_SYS(fcntl),
    /* files beneath the working directory */
    SCMP_SYS(openat),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(statx),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),
    SCMP_SYS(umask),
    SCMP_SYS(fadvise64),
    /* memory */
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    /* waiting */
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    /* sockets; which families is a rule below */
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(connect),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    /* threads, signals, time */
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(membarrier),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrusage),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(times),
    SCMP_SYS(getrandom),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getcpu),
};

/* Argument rules compare 32 bits: the kernel looks at no more, and a caller could
 * set the others. */
#define LOW32 0xffffffffull

/* A call that is allowed when argument ARG, masked, is VALUE. */
static const struct {
    int call;
    unsigned arg;
    uint64_t mask, value;
} conditional[] = {
    {SCMP_SYS(socket), 0, LOW32, AF_UNIX},
    {SCMP_SYS(socket), 0, LOW32, AF_INET},
    {SCMP_SYS(socket), 0, LOW32, AF_INET6},
    {SCMP_SYS(socketpair), 0, LOW32, AF_UNIX},
    /* threads of this process and nothing else */
    {SCMP_SYS(clone), 0, CLONE_THREAD | CLONE_VM | CLONE_NEWUSER | CLONE_NEWNS,
     CLONE_THREAD | CLONE_VM},
    {SCMP_SYS(ioctl), 1, LOW32, 0x5411}, /* SIOCOUTQ */
    {SCMP_SYS(ioctl), 1, LOW32, 0x541b}, /* FIONREAD */
    {SCMP_SYS(ioctl), 1, LOW32, 0x5421}, /* FIONBIO */
    {SCMP_SYS(ioctl), 1, LOW32, 0x5451}, /* FIOCLEX */
    /* libzmq sets what it has read for each of its threads, and insists */
    {SCMP_SYS(sched_setscheduler), 1, LOW32, SCHED_OTHER},
    {SCMP_SYS(prctl), 0, LOW32, PR_SET_NAME},
    {SCMP_SYS(prctl), 0, LOW32, PR_GET_NAME},
    /* abort(): to a thread of ours only, which the pid namespace cannot tell;
     * Landlock's scope does */
    {SCMP_SYS(tgkill), 3, 0, 0},
    {SCMP_SYS(prlimit64), 2, UINT64_MAX, 0}, /* reading only */
};

/* Not known here: ENOSYS, so that a library falls back on what is. */
static const int unknown[] = {
    SCMP_SYS(clone3),
    SCMP_SYS(close_range),
    SCMP_SYS(openat2),
};

static int
fill(scmp_filter_ctx filter)
{
    size_t i;
    int r = 0;

    for (i = 0; i < KH_COUNT(allowed) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (i = 0; i < KH_COUNT(conditional) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, conditional[i].call, 1,
                             SCMP_CMP64(conditional[i].arg, SCMP_CMP_MASKED_EQ,
                                        conditional[i].mask, conditional[i].value));
    for (i = 0; i < KH_COUNT(unknown) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), unknown[i], 0);
    /* getifaddrs() of libzmq, asked whether "127.0.0.1" names an interface,
     * aborts the process for any errno but this one. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(socket), 1,
                             SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, LOW32, AF_NETLINK));
    return r;
}

static int
filter_calls(struct kh_error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int r = filter ? fill(filter) : -ENOMEM;

    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r < 0 ? kh_fail(err, -r, "cannot filter the gateway's system calls: %s",
                           strerror(-r))
                 : 0;
}

int
kh_confine(const char *registry_dir, int *ret_landlock, struct kh_error *err)
{
    int r;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return kh_fail_errno(err, "cannot set no_new_privs");
    r = landlock(registry_dir, ret_landlock, err);
    return r < 0 ? r : filter_calls(err);
}
