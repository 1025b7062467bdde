#include "kernelhost/gateway/keeper.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "kernelhost/gateway/confine.h"
#include "kernelhost/gateway/ledger.h"

#define PAUSE_MS 2

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
kh_keeper_wait(int ledger_fd)
{
    int64_t end = now_ms() + KH_KEEPER_WAIT_MS;

    while (flock(ledger_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK &&
           now_ms() < end)
        poll(NULL, 0, PAUSE_MS);
}

/* ---- the keeper ---- */

struct keeper {
    struct kh_ledger *ledger;
    struct kh_tails *tails;
    int ledger_fd;
    int64_t deadline;
    uint64_t *most; /* by kernel: the position that some subscriber has */
};

static bool
follows(const struct kh_ledger_connection *connection)
{
    return kh_ledger_tagged_channel(connection->tag) == KH_CHANNEL_IOPUB &&
           connection->subscribed && !connection->filtered;
}

static void
note_most(void *arg, uint32_t fd, const struct kh_ledger_connection *connection)
{
    struct keeper *keeper = arg;
    uint32_t kernel = kh_ledger_tagged_kernel(connection->tag);

    (void)fd;
    if (kernel < KH_LEDGER_KERNELS && follows(connection) &&
        connection->written > keeper->most[kernel])
        keeper->most[kernel] = connection->written;
}

/* Waits until FD takes bytes; false when the time is over. */
static bool
may_write(const struct keeper *keeper, int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    int64_t left = keeper->deadline - now_ms();

    return left > 0 && poll(&poller, 1, (int)left) == 1 &&
           !(poller.revents & (POLLERR | POLLHUP | POLLNVAL));
}

static bool
write_all(const struct keeper *keeper, int fd, const struct kh_tail *tail,
          uint64_t from, uint64_t to)
{
    while (from < to) {
        const char *data;
        size_t size = kh_tail_read(tail, from, to, &data);
        ssize_t n;

        if (!size || !may_write(keeper, fd))
            return false;
        n = syscall(SYS_sendto, fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
        if (n < 0 && errno != EAGAIN)
            return false;
        from += n > 0 ? (uint64_t)n : 0;
    }
    return true;
}

/* Gives a subscriber what another one has. A message that it has a part of goes on
 * where it broke off. */
static void
bring_level(struct keeper *keeper, int fd, struct kh_ledger_connection *connection)
{
    uint32_t kernel = kh_ledger_tagged_kernel(connection->tag);
    struct kh_tail *tail = kh_tails_find(keeper->tails, kernel);
    uint64_t from, to;

    if (!tail || !follows(connection) || connection->written >= keeper->most[kernel] ||
        !kh_tail_find(tail, connection->written, &from) ||
        !kh_tail_find(tail, keeper->most[kernel], &to))
        return;
    if (write_all(keeper, fd, tail, from + connection->beyond, to))
        connection->written = keeper->most[kernel];
}

static bool
is_noted(const struct keeper *keeper, int fd)
{
    const struct kh_ledger_connection *noted = kh_ledger_peek(keeper->ledger, fd);

    return noted && noted->tag;
}

/* Ports are free, and whoever waits for an answer knows, before anything else. */
static void
close_others(const struct keeper *keeper, int most)
{
    int fd;

    for (fd = 3; fd < most; fd++)
        if (fd != keeper->ledger_fd && !is_noted(keeper, fd))
            close(fd);
}

/* What a client has not read yet when its connection ends, its libzmq may throw away.
 */
static bool
all_have_read(const struct keeper *keeper, int most)
{
    int fd, queued;

    for (fd = 3; fd < most; fd++)
        if (is_noted(keeper, fd) && ioctl(fd, SIOCOUTQ, &queued) == 0 && queued)
            return false;
    return true;
}

static void
finish(struct keeper *keeper)
{
    struct rlimit limit;
    int most = KH_LEDGER_CONNECTIONS, fd;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)most)
        most = (int)limit.rlim_cur;
    keeper->deadline = now_ms() + KH_KEEPER_MS;
    kh_ledger_inherit(keeper->ledger, note_most, keeper);
    for (fd = 3; fd < most; fd++)
        if (is_noted(keeper, fd))
            bring_level(keeper, fd, kh_ledger_connection(keeper->ledger, fd));
    close_others(keeper, most);
    while (!all_have_read(keeper, most) && now_ms() < keeper->deadline)
        poll(NULL, 0, PAUSE_MS);
}

/* Signals are not for us: whoever ends our parent ends us. (A parent-death signal would
 * not come: Landlock lets none pass between two that are confined.) */
static void
keep(int ledger_fd, struct kh_tails *tails, int parent)
{
    struct keeper keeper = {.tails = tails, .ledger_fd = ledger_fd};
    struct pollfd poller = {.fd = parent, .events = POLLIN};
    sigset_t all;
    struct kh_error err;
    int abi;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_NAME, "kh-keeper");
    keeper.most = calloc(KH_LEDGER_KERNELS, sizeof(*keeper.most));
    if (!keeper.most || kh_confine(NULL, &abi, &err) < 0)
        _exit(1);
    while (poll(&poller, 1, -1) != 1)
        continue;
    keeper.ledger = kh_ledger_open(ledger_fd, &err);
    if (keeper.ledger)
        finish(&keeper);
    _exit(0);
}

int
kh_keeper_start(int ledger_fd, struct kh_tails *tails, struct kh_error *err)
{
    AUTO_FD int parent = (int)syscall(SYS_pidfd_open, getpid(), 0u);
    long pid = -1;

    if (parent >= 0)
        pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid < 0)
        return kh_fail_errno(err, "cannot start the keeper");
    if (pid == 0)
        keep(ledger_fd, tails, parent);
    (void)STEAL_FD(parent); /* in the table of both */
    return 0;
}
