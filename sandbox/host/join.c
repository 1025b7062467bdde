#include "sandbox/host/join.h"

#include <errno.h>
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
    free(join);
    done(owner, err);
}

/* A child that is gone may have been killed, or its zygote, or the sandbox; but not
 * again and again. One that is there and not what it must be is enough. */
static void
fail(struct kh_join *join, int code, const char *why)
{
    struct kh_error err = {0};

    kh_fail(&err, code, "no warm kernel for '%s': %s", join->box->record.name, why);
    if (kh_process_exists(&join->box->process) &&
        (code != EPIPE || ++join->zygote->failures >= FAILURES_MAX))
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

static void
talk_ready(struct kh_watch *watch, uint32_t events)
{
    static const struct kh_error none;
    struct kh_join *join = watch->owner;
    struct kh_error err = {0};
    char word[WORD_MAX + 1];
    pid_t pid = 0;
    ssize_t n = take_word(join->talk, word, &pid);
    int r;

    (void)events;
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        fail(join, EPIPE, "the child ended before it was confined");
        return;
    }
    word[n] = '\0';
    if (word[0] == 'H' && n == 1 && !join->moved) {
        r = move(join, pid, &err);
    } else if (word[0] == 'R' && n == 1 && join->moved) {
        r = kh_posture_check_runner(join->box, pid, &err);
        if (r == 0) {
            (void)send(join->talk, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            join->zygote->failures = 0;
            end(join, &none);
            return;
        }
        kill(pid, SIGKILL);
    } else {
        r = kh_fail(&err, EPROTO, "%s", word[0] == 'F' ? word + 1 : "a wrong word");
    }
    if (r < 0)
        fail(join, -r, err.text);
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
    static const struct itimerspec when = {
        .it_value = {KH_JOIN_TIMEOUT_MS / 1000, KH_JOIN_TIMEOUT_MS % 1000 * 1000000}};
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

    if (!zygote || zygote->state != KH_ZYGOTE_READY)
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
