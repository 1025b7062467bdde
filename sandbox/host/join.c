#include "sandbox/host/join.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/posture.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/zygote.h"

#define WORD_MAX     512u
#define FAILURES_MAX 3u /* in a row */

struct kh_join {
    struct kh_join *next; /* of the box */
    struct kh_box *box;
    struct kh_zygote *zygote;
    int talk, timer;
    struct kh_watch watch, clock;
    bool moved;
    void (*done)(void *owner, const struct kh_error *err);
    void *owner;
};

static void
end(struct kh_join *join, const struct kh_error *err)
{
    struct kh_join **at = &join->box->joins;
    void (*done)(void *, const struct kh_error *) = join->done;
    void *owner = join->owner;

    while (*at != join)
        at = &(*at)->next;
    *at = join->next;
    kh_watch_remove(&join->watch);
    kh_watch_remove(&join->clock);
    kh_fd_close(&join->talk);
    kh_fd_close(&join->timer);
    join->zygote->joins--;
    free(join);
    done(owner, err);
}

/* Whether the zygote is to blame. Not for what happens where others run code: those
 * can fill the sandbox, and stop or kill what comes to it. Elsewhere a child that is
 * gone or late may have been killed, or have had no processor; but not again and
 * again. One that is there and not what it must be is enough. */
static bool
is_guilty(struct kh_join *join, int code)
{
    if (!kh_process_exists(&join->box->process))
        return false;
    if (join->box->open) {
        join->box->failures++;
        return false;
    }
    return (code != EPIPE && code != ETIMEDOUT) ||
           ++join->zygote->failures >= FAILURES_MAX;
}

static void
fail(struct kh_join *join, int code, const char *why)
{
    struct kh_error err = {0};

    kh_fail(&err, code, "no warm kernel for '%s': %s", join->box->record.name, why);
    if (is_guilty(join, code))
        kh_zygote_condemn(join->zygote, why);
    else
        kh_log(KH_LOG_INFO, "%s", err.text);
    end(join, &err);
}

/* One word and who sent it: the kernel fills in the sender, in our numbers. */
static ssize_t
take_word(int talk, char *word, pid_t *ret_pid)
{
    union {
        char space[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct iovec part = {word, WORD_MAX};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    ssize_t n = recvmsg(talk, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    struct ucred who;

    if (n <= 0)
        return n < 0 ? -errno : 0;
    if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_CREDENTIALS)
        return -EBADMSG;
    memcpy(&who, CMSG_DATA(head), sizeof(who));
    *ret_pid = who.pid;
    return n;
}

static int
move(struct kh_join *join, pid_t pid, struct kh_error *err)
{
    int r = kh_cgroup_move(join->box->host->groups, join->box->id, pid, err);

    join->moved = true;
    if (r == 0 && send(join->talk, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        r = kh_fail(err, EPIPE, "the child is gone");
    return r;
}

static bool
has_ended(int pidfd)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};

    return poll(&poller, 1, 0) != 0;
}

/* PID said so; but it may have ended since, and the number be another's, and root of
 * a sandbox can write any number of its own into its credentials (unix(7)). Only who
 * is in the zygote's groups is moved, and only who is in the sandbox's is looked at,
 * or killed: so it can be nobody else's process. What was read is of the one behind
 * the pidfd if that has not ended by then. */
static int
heed(struct kh_join *join, pid_t pid, struct kh_error *err)
{
    bool runner = join->moved;
    const char *group = runner ? join->box->id : join->zygote->image_id;
    AUTO_FD int pidfd = kh_sys_pidfd_open(pid);
    bool held = pidfd >= 0 && kh_cgroup_holds(join->box->host->groups, group, pid);
    int r;

    if (pidfd < 0 || has_ended(pidfd))
        return kh_fail(err, EPIPE, "the child ended before it was confined");
    if (!held)
        return kh_fail(err, EPERM, "who speaks is not in its control groups");
    r = runner ? kh_posture_check_runner(join->box, pid, err) : move(join, pid, err);
    /* Once it was moved it may well have done its part; a runner has just begun. */
    if ((runner || r < 0) && has_ended(pidfd))
        return kh_fail(err, EPIPE, "the child ended before it was confined");
    if (runner && r < 0)
        (void)kh_sys_pidfd_signal(pidfd, SIGKILL);
    return r;
}

static void
talk_ready(struct kh_watch *watch, uint32_t events)
{
    static const struct kh_error none;
    struct kh_join *join = watch->owner;
    struct kh_error err = {0};
    char word[WORD_MAX + 1];
    bool moved = join->moved;
    pid_t pid = 0;
    ssize_t n = take_word(join->talk, word, &pid);

    (void)events;
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        fail(join, EPIPE, "the child ended before it was confined");
        return;
    }
    word[n] = '\0';
    if (n != 1 || word[0] != (moved ? 'R' : 'H'))
        fail(join, EPROTO, word[0] == 'F' ? word + 1 : "a wrong word");
    else if (heed(join, pid, &err) < 0)
        fail(join, err.code, err.text);
    else if (moved) {
        (void)send(join->talk, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        join->zygote->failures = join->box->failures = 0;
        end(join, &none);
    }
}

static void
time_is_over(struct kh_watch *watch, uint32_t events)
{
    (void)events;
    fail(watch->owner, ETIMEDOUT, "the child did not come in time");
}

static int
watch(struct kh_join *join, struct kh_error *err)
{
    /* Those before it are served first. */
    long ms = KH_JOIN_TIMEOUT_MS + (long)join->zygote->joins * KH_JOIN_TURN_MS;
    struct itimerspec when = {.it_value = {ms / 1000, ms % 1000 * 1000000}};
    int r;

    join->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (join->timer < 0 || timerfd_settime(join->timer, 0, &when, NULL) < 0)
        return kh_fail_errno(err, "cannot make a timer");
    r = kh_watch_add(&join->watch, join->talk, EPOLLIN, talk_ready, join, err);
    return r < 0 ? r
                 : kh_watch_add(&join->clock, join->timer, EPOLLIN, time_is_over, join,
                                err);
}

static int
open_talk(int *ret_ours, int *ret_theirs, struct kh_error *err)
{
    int pair[2], on = 1;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return kh_fail_errno(err, "cannot make a socket pair");
    *ret_ours = pair[0];
    *ret_theirs = pair[1];
    kh_fd_refuse_fds(pair[0]);
    if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
        return kh_fail_errno(err, "cannot ask for credentials");
    return 0;
}

int
kh_join_begin(struct kh_box *box, void (*done)(void *owner, const struct kh_error *err),
              void *owner, struct kh_error *err)
{
    struct kh_zygote *zygote =
        box->zygote ? kh_zygote_of(box->host, box->record.image_id) : NULL;
    AUTO_FD int theirs = -1;
    struct kh_join *join;
    int r;

    if (!zygote || zygote->state != KH_ZYGOTE_READY ||
        zygote->joins >= KH_ZYGOTE_JOINS_MAX || box->failures >= FAILURES_MAX)
        return kh_fail(err, EAGAIN, "there is no zygote for '%s'", box->record.name);
    join = kh_xcalloc(1, sizeof(*join));
    *join = (struct kh_join){.next = box->joins,
                             .box = box,
                             .zygote = zygote,
                             .talk = -1,
                             .timer = -1,
                             .done = done,
                             .owner = owner};
    r = open_talk(&join->talk, &theirs, err);
    if (r == 0)
        r = watch(join, err);
    if (r == 0) {
        r = kh_zygote_ask(zygote, box->process.pidfd, theirs);
        if (r < 0)
            kh_fail(err, EAGAIN, "the zygote is busy");
    }
    if (r < 0) {
        kh_watch_remove(&join->watch);
        kh_watch_remove(&join->clock);
        kh_fd_close(&join->talk);
        kh_fd_close(&join->timer);
        free(join);
        return -EAGAIN;
    }
    box->joins = join;
    zygote->joins++;
    return 0;
}

void
kh_join_cancel(struct kh_box *box)
{
    struct kh_error err = {0};

    kh_fail(&err, ECANCELED, "sandbox '%s' has ended", box->record.name);
    while (box->joins)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): none follows itself */
        end(box->joins, &err);
}
