/* kernelhost-init: PID 1 of a sandbox.
 *
 *     kernelhost-init [--socket PATH] [--runner DIR] [--no-setuid] [READY_FD]
 *
 * Trust: inside the sandbox, with the sandbox's root's uid but only SETUID,
 * SETGID and KILL; everything it talks to but the gateway is hostile. Links libc
 * only and statically: the image under it may hold any libc, or none. One thread.
 *
 * READY_FD gets one byte 'R' once init can be connected to, or a struct kh_error.
 * --socket listens elsewhere and takes any peer, --runner finds the runners
 * elsewhere, --no-setuid starts everything as ourselves: with these a test (or a
 * curious reader) drives it as an ordinary process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/error.h"
#include "base/fd.h"
#include "protocol/link/init.h"
#include "protocol/link/runner.h"
#include "sandbox/init/conn.h"
#include "sandbox/init/exec.h"
#include "sandbox/init/kernels.h"
#include "sandbox/init/kind.h"
#include "sandbox/init/loop.h"
#include "sandbox/init/server.h"
#include "sandbox/init/warm.h"

#define REAP_A_TURN 256

struct options {
    const char *socket;
    const char *runners;
    bool no_setuid;
    int ready_fd; /* -1: nobody waits */
};

static const char *const usage =
    "usage: kernelhost-init [--socket PATH] [--runner DIR] [--no-setuid] [READY_FD]";

static struct kh_source signals = {.fd = -1};
static bool reap_again;
static bool stopping;

static int
parse_fd(const char *text, int *ret_fd)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (!*text || *end || value < 0 || value > 1 << 20)
        return -EINVAL;
    *ret_fd = (int)value;
    return 0;
}

/* The descriptor is understood even if the rest is not, so that the failure
 * reaches the one who waits. */
static int
parse(struct options *options, int argc, char **argv, struct kh_error *err)
{
    bool wrong = false;
    int i;

    for (i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-setuid"))
            options->no_setuid = true;
        else if (!strcmp(argv[i], "--socket") && i + 1 < argc)
            options->socket = argv[++i];
        else if (!strcmp(argv[i], "--runner") && i + 1 < argc)
            options->runners = argv[++i];
        else if (options->ready_fd >= 0 || parse_fd(argv[i], &options->ready_fd) < 0)
            wrong = true;
    }
    return wrong ? kh_fail(err, EINVAL, "%s", usage) : 0;
}

/* Every child that ended: kernels, commands, and orphans of the sandbox. */
static void
reap(void)
{
    int i, status;
    pid_t pid;

    reap_again = true;
    for (i = 0; i < REAP_A_TURN; i++) {
        pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            reap_again = false;
            return;
        }
        kh_kernels_ended(pid, status);
        kh_exec_ended(pid, status);
        kh_warm_ended(pid);
    }
}

static void
signals_ready(struct kh_source *source, uint32_t events)
{
    struct signalfd_siginfo info;

    (void)events;
    while (read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGTERM)
            stopping = true;
        else if (info.ssi_signo == SIGUSR1)
            kh_kernels_reseed(0);
        else if (info.ssi_signo == SIGUSR2)
            kh_kernels_reseed(KH_RESEED_SECRETS);
    reap_again = true;
}

/* All signals are blocked and read from a descriptor; a child gets the defaults
 * back. SIGTERM (inside a sandbox only the host can send it) ends init and all
 * that it started; SIGUSR1 says that the sandbox is a copy of another, SIGUSR2
 * that it is one of what it was. */
static int
open_signals(struct kh_error *err)
{
    sigset_t set;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    sigfillset(&set);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return kh_fail_errno(err, "cannot block signals");
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return kh_fail_errno(err, "cannot make a signal descriptor");
    kh_source_open(&signals, fd, signals_ready, NULL);
    kh_source_watch(&signals, EPOLLIN);
    return 0;
}

/* 64 kernels and 256 commands with four descriptors each are above the usual
 * soft limit; children get their own (spawn.c). */
static void
raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* 0, 1 and 2 are open, and nothing else but the one that waits for us: what else
 * was inherited would live as long as the sandbox. */
static int
clean_fds(int ready_fd, struct kh_error *err)
{
    unsigned keep = ready_fd > 2 ? (unsigned)ready_fd : 2;
    int fd;

    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2)
        continue;
    kh_clean_fd(&fd);
    if (keep > 3)
        close_range(3, keep - 1, 0);
    close_range(keep + 1, ~0u, 0);
    if (ready_fd > 2 && kh_fd_cloexec(ready_fd, true) < 0)
        return kh_fail(err, EBADF, "descriptor %d is not open", ready_fd);
    return 0;
}

/* Our capabilities came over exec in the inheritable set; nobody inherits more. */
static int
keep_capabilities(struct kh_error *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) < 0)
        return kh_fail_errno(err, "cannot read the capabilities");
    data[0].inheritable = data[1].inheritable = 0;
    if (syscall(SYS_capset, &head, data) < 0)
        return kh_fail_errno(err, "cannot empty the inheritable capabilities");
    return 0;
}

static int
start(const struct options *options, struct kh_error *err)
{
    bool plain = options->socket != NULL;

    /* What the user's code could read of us in /proc. As an ordinary process we
     * are the user's own, who may look at what we do. */
    if (!plain && prctl(PR_SET_DUMPABLE, 0) < 0)
        return kh_fail_errno(err, "cannot become undumpable");
    if (keep_capabilities(err) < 0)
        return -err->code;
    if (clean_fds(options->ready_fd, err) < 0)
        return -err->code;
    if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return kh_fail_errno(err, "cannot become a reaper");
    umask(077);
    raise_files();
    kh_kind_setup(options->runners, options->no_setuid);
    if (kh_loop_open(err) < 0 || open_signals(err) < 0)
        return -err->code;
    if (kh_server_open(plain ? options->socket : KH_INIT_SOCKET, !plain, err) < 0)
        return -err->code;
    return plain ? 0 : kh_warm_open(KH_INIT_JOIN, err);
}

static void
tell(int fd, const struct kh_error *err)
{
    if (fd < 0) {
        if (err)
            dprintf(STDERR_FILENO, "kernelhost-init: %s\n", err->text);
        return;
    }
    kh_fd_write_full(fd, err ? (const void *)err : "R", err ? sizeof(*err) : 1);
    close(fd);
}

static void
run(void)
{
    uint64_t due, exec_due, now;

    while (!stopping) {
        kh_conn_flush();
        due = kh_kernels_due();
        exec_due = kh_exec_due();
        due = due < exec_due ? due : exec_due;
        due = due < kh_conn_due() ? due : kh_conn_due();
        kh_loop_run_once(reap_again ? 0 : due);
        if (reap_again)
            reap();
        now = kh_now();
        kh_kernels_tick(now);
        kh_exec_tick(now);
    }
    kh_kernels_kill_all();
    kh_exec_kill_all();
}

int
main(int argc, char **argv)
{
    struct options options = {.ready_fd = -1};
    struct kh_error err = {0};

    if (parse(&options, argc, argv, &err) < 0 || start(&options, &err) < 0) {
        tell(options.ready_fd, &err);
        return 1;
    }
    tell(options.ready_fd, NULL);
    run();
    return 0;
}
