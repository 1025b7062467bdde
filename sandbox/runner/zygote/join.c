/* join: the system calls with which a zygote's child becomes a sandbox's runner.
 *
 * A shared object without a libc, loaded with ctypes by whatever Python the image
 * has (glibc or musl, any version): it makes system calls only and keeps no state.
 * Nothing here is trusted by the host. kernelhostd looks at the result from
 * outside (sandbox/host/join.h); the seccomp filters are the ones that it sent.
 *
 * Who is who in kh_join (a process is a child of Z if Z called clone):
 *
 *     zygote   in the host's pid namespace, waits
 *       B      the zygote's memory (vfork): is put into the sandbox's cgroups by
 *              kernelhostd, joins the namespaces
 *         C    the zygote's memory: born in the sandbox's pid namespace
 *           D  a copy (fork), an orphan at once as C ends, and so a child of the
 *              sandbox's PID 1: the runner
 *
 * B and C copy no page table: they use the zygote's memory and its stack below the
 * frame that waits, as after vfork(2). So a function must not return in them, nor
 * be left by a jump: sibling calls are switched off for this file.
 */
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/socket.h>
#include <linux/types.h>
#include <linux/un.h>

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/runner/zygote/call.h"

#define QUIET __attribute__((noinline))

#define SIGCHLD        17
#define AF_UNIX        1
#define SOCK_SEQPACKET 5
#define SOCK_CLOEXEC   02000000
#define MSG_NOSIGNAL   0x4000
#define O_CLOEXEC      02000000
#define O_RDWR         02
#define EIO            5

#define RSEQ_SIG  0x53053053
#define NOFILE    7
#define FILES     16384u
#define USER      1000
#define ORPHAN_MS 10000

/* B joins these; the time namespace only takes a process with memory of its own. */
#define NAMESPACES                                                                     \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |        \
     CLONE_NEWUTS | CLONE_NEWCGROUP)

struct kh_confine;

struct kh_orphan {
    int (*fork)(void); /* the libc's, which tells those who want to hear of forks */
    void (*before)(void);
    void (*in_parent)(void);
    void (*in_child)(void);
    void *rseq;
    unsigned rseq_size; /* 0: none is registered */
};

long kh_orphan(const struct kh_orphan *o);
long kh_join(int pidfd, int talk, int *tid, int (*fork)(void));
long kh_confine(struct kh_confine *c);
long kh_part(struct kh_confine *c, int init);

static void
leave(int status)
{
    for (;;)
        call(__NR_exit_group, status, 0, 0, 0, 0);
}

/* A child that uses this memory; the caller waits until it has ended. */
static inline __attribute__((always_inline)) long
borrow(void)
{
    return call(__NR_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
}

/* C may be killed at any instant, with the sandbox, and a lock of the libc that it
 * held then would be held in the zygote's memory for good: glibc's fork takes one over
 * the whole call, and every later child would wait for it. So nothing of the libc runs
 * here, where TID says where it keeps the number of its thread. The zygote has one
 * thread, whose locks are free: there is nothing else that a fork would see to. */
static QUIET long
third(int *tid, int (*fork)(void))
{
    long flags = SIGCHLD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    long pid = tid ? call(__NR_clone, flags, 0, 0, (long)tid, 0) : fork();

    if (pid != 0)
        leave(pid < 0);
    return 0;
}

static QUIET long
second(int pidfd, int talk, int *tid, int (*fork)(void))
{
    char byte = 'H';
    long pid;

    if (call(__NR_sendto, talk, (long)&byte, 1, MSG_NOSIGNAL, 0) != 1 ||
        call(__NR_read, talk, (long)&byte, 1, 0, 0) != 1 || byte != 'G')
        leave(2);
    if (call(__NR_setns, pidfd, NAMESPACES, 0, 0, 0) < 0)
        leave(3);
    pid = borrow();
    if (pid > 0) /* nobody else would: for those above, C is not of their world */
        call(__NR_wait4, pid, 0, 0, 0, 0);
    if (pid != 0)
        leave(pid < 0 ? 4 : 0);
    return third(tid, fork);
}

/* Makes the runner's process. PIDFD is the sandbox's PID 1, TALK a socket to
 * kernelhostd, TID where the libc keeps the number of this thread, or NULL, and FORK
 * the libc's fork for that case. Returns 0 in the new process, in the zygote
 * the pid of B, which has ended (to be reaped: its status is 0 if all went well),
 * or -errno. */
EXPORT long
kh_join(int pidfd, int talk, int *tid, int (*fork)(void))
{
    long pid = borrow();

    if (pid != 0)
        return pid;
    return second(pidfd, talk, tid, fork);
}

/* Makes a copy of this process that is its parent's child, or that of whoever takes
 * orphans in: only a process between them ends, which has no memory of its own to copy
 * or to free. The hooks are called here and not by the interpreter: between them it
 * holds locks that any line of Python may want. Returns 0 in the copy, else the pid of
 * the one between, which has ended (to be reaped: its status is 0 if all went well), or
 * -errno. */
EXPORT long
kh_orphan(const struct kh_orphan *o)
{
    long pid;

    o->before();
    pid = borrow();
    if (pid != 0) {
        o->in_parent();
        return pid;
    }
    third(NULL, o->fork);
    /* Threads that borrow memory have their registration taken away. */
    if (o->rseq_size)
        call(__NR_rseq, (long)o->rseq, o->rseq_size, 0, RSEQ_SIG, 0);
    o->in_child();
    return 0;
}

struct kh_confine {
    int pidfd;
    int talk;
    unsigned rseq_size; /* 0: none is registered */
    void *rseq;
    const void *filter[2]; /* struct sock_fprog: the sandbox's, in this order */
    const void *map;       /* struct prctl_mm_map, without exe_fd; NULL: leave it */
    const char *exe;
    const char *socket; /* of kernelhost-init, for those who join */
    const char *hello;  /* what it is told first */
    unsigned long hello_size;
    const char *step; /* out: what failed */
};

/* C may be a moment from its end still, and for init we are nobody's until then. */
static long
become_orphan(void)
{
    int i;

    for (i = 0; call(__NR_getppid, 0, 0, 0, 0, 0) != 1; i++) {
        if (i == ORPHAN_MS)
            return -EIO;
        call(__NR_poll, 0, 0, 1, 0, 0);
    }
    return 0;
}

static long
reach_init(const struct kh_confine *c)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    long fd, r;
    unsigned i;

    for (i = 0; i < sizeof(address.sun_path) - 1 && c->socket[i]; i++)
        address.sun_path[i] = c->socket[i];
    fd = call(__NR_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return fd;
    r = call(__NR_connect, fd, (long)&address, sizeof(address), 0, 0);
    if (r >= 0)
        r = call(__NR_sendto, fd, (long)c->hello, (long)c->hello_size, MSG_NOSIGNAL, 0);
    if (r < 0)
        call(__NR_close, fd, 0, 0, 0, 0);
    return r < 0 ? r : fd;
}

/* So that no mapping or link of the process leads to the zygote's own mounts. */
static long
show_exe(const struct kh_confine *c)
{
    struct prctl_mm_map map;
    long fd, r;
    unsigned i;

    if (!c->map)
        return 0;
    for (i = 0; i < sizeof(map); i++)
        ((volatile char *)&map)[i] = ((const char *)c->map)[i];
    fd = call(__NR_open, (long)c->exe, O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return fd;
    map.exe_fd = (__u32)fd;
    r = call(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, (long)&map, sizeof(map), 0);
    call(__NR_close, fd, 0, 0, 0, 0);
    return r;
}

/* Those of the zygote are of its own mounts. */
static long
use_null(void)
{
    long null = call(__NR_open, (long)"/dev/null", O_RDWR | O_CLOEXEC, 0, 0, 0), fd;

    if (null < 0)
        return null;
    for (fd = 0; fd < 3; fd++) {
        long r = call(__NR_dup2, null, fd, 0, 0, 0);

        if (r < 0)
            return r;
    }
    return call(__NR_close, null, 0, 0, 0, 0);
}

static long
raise_files(void)
{
    struct {
        uint64_t soft, hard;
    } limit = {0, 0};
    long r = call(__NR_prlimit64, 0, NOFILE, 0, (long)&limit, 0);

    if (r < 0)
        return r;
    limit.soft = limit.hard < FILES ? limit.hard : FILES;
    return call(__NR_prlimit64, 0, NOFILE, (long)&limit, 0, 0);
}

static long
drop(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    long r, cap;

    for (cap = 0; call(__NR_prctl, PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if ((r = call(__NR_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0)) < 0)
            return r;
    if ((r = call(__NR_setgroups, 0, 0, 0, 0, 0)) < 0 ||
        (r = call(__NR_setresgid, USER, USER, USER, 0, 0)) < 0 ||
        (r = call(__NR_setresuid, USER, USER, USER, 0, 0)) < 0)
        return r;
    return call(__NR_capset, (long)&head, (long)none, 0, 0, 0);
}

static long
filter(const struct kh_confine *c)
{
    long r = call(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int i;

    for (i = 0; r >= 0 && i < 2; i++)
        r = call(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)c->filter[i], 0, 0);
    return r;
}

#define STEP(name, expression)                                                         \
    do {                                                                               \
        long step_ = (expression);                                                     \
        if (step_ < 0) {                                                               \
            c->step = name;                                                            \
            return step_;                                                              \
        }                                                                              \
    } while (0)

/* In the new process: gives up everything that a runner does not have, and tells
 * kernelhostd. Returns a stream to kernelhost-init; other descriptors of the zygote's
 * are still open. On failure -errno, with C->step; the process must end then. */
EXPORT long
kh_confine(struct kh_confine *c)
{
    long init;

    /* Threads that borrow memory have their registration taken away. */
    if (c->rseq_size)
        call(__NR_rseq, (long)c->rseq, c->rseq_size, 0, RSEQ_SIG, 0);
    STEP("join the time namespace", call(__NR_setns, c->pidfd, CLONE_NEWTIME, 0, 0, 0));
    STEP("make a session", call(__NR_setsid, 0, 0, 0, 0, 0));
    call(__NR_umask, 022, 0, 0, 0, 0);
    STEP("raise RLIMIT_NOFILE", raise_files());
    STEP("change the program's file", show_exe(c));
    STEP("use the sandbox's /dev/null", use_null());
    STEP("be a child of kernelhost-init", become_orphan());
    init = reach_init(c);
    STEP("reach kernelhost-init", init);
    STEP("become the user", drop());
    /* As the user, against whose quota it counts: the zygote is one for all. */
    STEP("join a keyring", call(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0));
    STEP("become dumpable", call(__NR_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0));
    STEP("install the filter", filter(c));
    STEP("tell kernelhostd", call(__NR_sendto, c->talk, (long)"R", 1, MSG_NOSIGNAL, 0));
    return init;
}

/* Waits, with one thread still, until kernelhostd has looked at this process; closes
 * everything but INIT and 0, 1, 2. As above. */
EXPORT long
kh_part(struct kh_confine *c, int init)
{
    char byte = 0;

    if (call(__NR_read, c->talk, (long)&byte, 1, 0, 0) != 1 || byte != 'G')
        STEP("hear of kernelhostd", -EIO);
    if (init > 3)
        STEP("close descriptors", call(__NR_close_range, 3, init - 1, 0, 0, 0));
    STEP("close descriptors", call(__NR_close_range, init + 1, ~0u, 0, 0, 0));
    return 0;
}
