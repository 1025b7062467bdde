#include "sandbox/init/checkpoint.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "protocol/link/frame.h"
#include "sandbox/init/ends.h"
#include "sandbox/init/spawn.h"

#define SLOTS     (KH_CHECKPOINTS_MAX + 1)
#define HELLO_MAX (KH_CHECKPOINT_ABOUT + KH_FRAME_HEAD + 4)

/* To fork takes processor time; nobody is to wait for it who waits for the kernel. */
#define COPY_PAUSE 100 /* ms */

/* ---- slots ---- */

static void
end(struct kh_frozen *frozen)
{
    kh_source_close(&frozen->source);
    if (frozen->pid)
        kill(frozen->pid, SIGKILL);
    frozen->pid = 0;
}

/* A process of it that waits, or NULL. */
static struct kh_frozen *
waiting(struct kh_checkpoint *checkpoint)
{
    size_t i;

    for (i = 0; i < 2; i++)
        if (checkpoint->frozen[i].pid)
            return &checkpoint->frozen[i];
    return NULL;
}

static struct kh_frozen *
other_of(struct kh_checkpoint *checkpoint, const struct kh_frozen *frozen)
{
    return &checkpoint->frozen[frozen == &checkpoint->frozen[0]];
}

void
kh_checkpoint_drop(struct kh_checkpoint *checkpoint)
{
    end(&checkpoint->frozen[0]);
    end(&checkpoint->frozen[1]);
    kh_buf_release(&checkpoint->about);
    checkpoint->number = 0;
    checkpoint->due = KH_NEVER;
}

/* Nobody waits and nobody will come: that was it. */
static void
settle(struct kh_checkpoint *checkpoint)
{
    if (!waiting(checkpoint) && checkpoint->frozen[0].source.fd < 0 &&
        checkpoint->frozen[1].source.fd < 0)
        kh_checkpoint_drop(checkpoint);
}

void
kh_checkpoints_drop(struct kh_checkpoints *set)
{
    size_t i;

    for (i = 0; set->slot && i < SLOTS; i++)
        kh_checkpoint_drop(&set->slot[i]);
}

static void
make_slots(struct kh_checkpoints *set)
{
    size_t i;

    if (set->slot)
        return;
    set->slot = kh_xcalloc(SLOTS, sizeof(*set->slot));
    for (i = 0; i < SLOTS; i++) {
        set->slot[i].set = set;
        set->slot[i].due = KH_NEVER;
        set->slot[i].frozen[0].source.fd = set->slot[i].frozen[1].source.fd = -1;
    }
}

/* It has been made: it holds its slot until its processes are gone. */
static bool
is_made(const struct kh_checkpoint *checkpoint)
{
    return kh_buf_len(&checkpoint->about) > 0;
}

/* The oldest, when ROOM more would be too many; or NULL. */
static struct kh_checkpoint *
surplus(struct kh_checkpoints *set, unsigned room)
{
    struct kh_checkpoint *oldest = NULL, *at;
    unsigned count = 0;

    for (at = set->slot; at < set->slot + SLOTS; at++) {
        if (!is_made(at))
            continue;
        count++;
        if (!oldest || at->number < oldest->number)
            oldest = at;
    }
    return count + room > KH_CHECKPOINTS_MAX ? oldest : NULL;
}

/* ---- processes ---- */

/* Sends a frame with descriptors to a process that waits. */
static bool
tell(const struct kh_frozen *frozen, uint16_t type, const int *fds, unsigned count)
{
    struct kh_frame frame = {.type = type};
    struct kh_buf bytes = KH_BUF_INIT;
    bool sent;

    kh_frame_encode(&frame, &bytes, NULL);
    sent = kh_ends_pass(frozen->source.fd, &bytes, fds, count);
    kh_buf_release(&bytes);
    return sent;
}

/* What the first process of a checkpoint says is what the checkpoint is. */
static bool
found(struct kh_checkpoint *checkpoint, pid_t pid, struct kh_slice about)
{
    struct kh_checkpoint *old = surplus(checkpoint->set, 1);

    if (!kh_session_birth(pid, &checkpoint->birth))
        return false;
    if (old)
        kh_checkpoint_drop(old);
    kh_buf_add(&checkpoint->about, about.data, about.size);
    return true;
}

static bool
take_hello(struct kh_checkpoint *checkpoint, struct kh_frozen *frozen, const void *data,
           size_t size, pid_t pid)
{
    struct kh_frame frame;
    struct kh_error err;

    if (frozen->pid || kh_frame_decode(data, size, &frame, &err) != (long)size ||
        frame.type != KH_FROZEN_HELLO || frame.count != 1 || !frame.slice[0].size ||
        frame.slice[0].size > KH_CHECKPOINT_ABOUT || pid <= 1 || !kh_spawn_is_ours(pid))
        return false;
    if (!is_made(checkpoint) && !found(checkpoint, pid, frame.slice[0]))
        return false;
    frozen->pid = pid;
    return true;
}

/* One message and its sender, as the kernel knows it. 0: nothing there. */
static ssize_t
receive(int sock, char *data, size_t size, pid_t *ret_pid)
{
    union {
        char space[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct iovec part = {data, size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    ssize_t n = recvmsg(sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    struct ucred who = {0};

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_CREDENTIALS)
        memcpy(&who, CMSG_DATA(head), sizeof(who));
    *ret_pid = who.pid;
    return n > 0 ? n : -1;
}

/* The next process to wait says hello over what this makes. */
static int connect_one(struct kh_checkpoint *checkpoint, struct kh_frozen *frozen,
                       int *ret_fd, struct kh_error *err);

/* The second one, if there is a first that can fork it. */
static void
have_both(struct kh_checkpoint *checkpoint)
{
    struct kh_frozen *frozen = waiting(checkpoint), *other;
    struct kh_error err;
    int fd;

    checkpoint->due = KH_NEVER;
    if (!frozen)
        return;
    other = other_of(checkpoint, frozen);
    if (other->pid || other->source.fd >= 0 ||
        connect_one(checkpoint, other, &fd, &err) < 0)
        return;
    if (!tell(frozen, KH_FROZEN_COPY, &fd, 1))
        end(other);
    kh_fd_close(&fd);
}

/* A hello, or the end of it. */
static void
ready(struct kh_source *source, uint32_t events)
{
    struct kh_checkpoint *checkpoint = source->owner;
    struct kh_frozen *frozen =
        &checkpoint->frozen[source == &checkpoint->frozen[1].source];
    static char data[HELLO_MAX];
    pid_t pid;
    ssize_t n = receive(source->fd, data, sizeof(data), &pid);

    (void)events;
    if (n == 0)
        return;
    if (n > 0 && take_hello(checkpoint, frozen, data, (size_t)n, pid)) {
        checkpoint->due = kh_now() + COPY_PAUSE;
        return;
    }
    end(frozen);
    settle(checkpoint);
}

static int
connect_one(struct kh_checkpoint *checkpoint, struct kh_frozen *frozen, int *ret_fd,
            struct kh_error *err)
{
    int sock[2], on = 1;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
        return kh_fail_errno(err, "cannot make a socket for a checkpoint");
    if (setsockopt(sock[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
        kh_fail_errno(err, "cannot prepare a socket for a checkpoint");
        close(sock[0]);
        close(sock[1]);
        return -err->code;
    }
    kh_fd_refuse_fds(sock[0]);
    kh_fd_nonblock(sock[0], true);
    kh_source_open(&frozen->source, sock[0], ready, checkpoint);
    kh_source_watch(&frozen->source, EPOLLIN);
    *ret_fd = sock[1];
    return 0;
}

/* ---- for the kernel ---- */

int
kh_checkpoints_begin(struct kh_checkpoints *set, int *ret_fd, uint64_t *ret_number,
                     uint64_t *ret_dropped, struct kh_error *err)
{
    struct kh_checkpoint *at, *old;
    int r;

    make_slots(set);
    for (at = set->slot; at < set->slot + SLOTS; at++)
        if (!is_made(at))
            kh_checkpoint_drop(at);
    for (at = set->slot; at->number; at++)
        continue; /* at most KH_CHECKPOINTS_MAX are made */
    r = connect_one(at, &at->frozen[0], ret_fd, err);
    if (r < 0)
        return r;
    old = surplus(set, 1);
    at->number = *ret_number = ++set->last;
    *ret_dropped = old ? old->number : 0;
    return 0;
}

/* What lies in the sockets may be read after what a runner said later. */
static void
listen_to_all(struct kh_checkpoints *set)
{
    size_t i, j;

    for (i = 0; set->slot && i < SLOTS; i++)
        for (j = 0; j < 2; j++)
            if (set->slot[i].frozen[j].source.fd >= 0)
                ready(&set->slot[i].frozen[j].source, EPOLLIN);
}

struct kh_checkpoint *
kh_checkpoints_find(struct kh_checkpoints *set, uint64_t number)
{
    size_t i;

    listen_to_all(set);
    for (i = 0; set->slot && i < SLOTS; i++)
        if (set->slot[i].number == number && waiting(&set->slot[i]))
            return &set->slot[i];
    return NULL;
}

int
kh_checkpoint_thaw(struct kh_checkpoint *checkpoint, struct kh_runner *runner,
                   struct kh_error *err)
{
    struct kh_frozen *frozen = waiting(checkpoint);
    struct kh_ends ends;
    bool sent = false;
    int theirs[3], i;

    if (!frozen)
        return kh_fail(err, EPIPE, "the checkpoint is gone");
    have_both(checkpoint); /* before it thaws, if that has not been yet */
    if (kh_ends_open(&ends, theirs, err) < 0)
        return -err->code;
    sent = tell(frozen, KH_FROZEN_THAW, theirs, 3);
    for (i = 0; i < 3; i++)
        kh_fd_close(&theirs[i]);
    if (!sent) {
        kh_ends_close(&ends);
        return kh_fail(err, EPIPE, "the checkpoint is gone");
    }
    kh_runner_adopt(runner, &ends, frozen->pid);
    frozen->pid = 0;
    kh_source_close(&frozen->source);
    checkpoint->due = kh_now() + COPY_PAUSE;
    settle(checkpoint);
    return 0;
}

bool
kh_checkpoints_fork(const struct kh_checkpoints *set)
{
    size_t i, j;

    for (i = 0; set->slot && i < SLOTS; i++)
        for (j = 0; j < 2; j++)
            if (set->slot[i].frozen[j].source.fd >= 0 && !set->slot[i].frozen[j].pid)
                return true;
    return false;
}

uint64_t
kh_checkpoints_due(const struct kh_checkpoints *set)
{
    uint64_t due = KH_NEVER;
    size_t i;

    for (i = 0; set->slot && i < SLOTS; i++)
        if (set->slot[i].due < due)
            due = set->slot[i].due;
    return due;
}

void
kh_checkpoints_tick(struct kh_checkpoints *set, uint64_t now)
{
    size_t i;

    for (i = 0; set->slot && i < SLOTS; i++)
        if (set->slot[i].due <= now)
            have_both(&set->slot[i]);
}

void
kh_checkpoints_ended(struct kh_checkpoints *set, pid_t pid)
{
    size_t i, j;

    for (i = 0; set->slot && i < SLOTS; i++)
        for (j = 0; j < 2; j++)
            if (set->slot[i].frozen[j].pid == pid) {
                set->slot[i].frozen[j].pid = 0;
                kh_source_close(&set->slot[i].frozen[j].source);
                settle(&set->slot[i]);
            }
}

/* The one with the least number above NUMBER that can be thawed, or NULL. */
static struct kh_checkpoint *
next_after(struct kh_checkpoints *set, uint64_t number)
{
    struct kh_checkpoint *next = NULL, *at;

    for (at = set->slot; at && at < set->slot + SLOTS; at++)
        if (at->number > number && waiting(at) && (!next || at->number < next->number))
            next = at;
    return next;
}

void
kh_checkpoints_list(struct kh_checkpoints *set, struct kh_buf *out)
{
    struct kh_checkpoint *at;
    const char *comma = "";

    listen_to_all(set);
    kh_buf_addf(out, "{\"status\":\"ok\",\"checkpoints\":[");
    for (at = next_after(set, 0); at; at = next_after(set, at->number)) {
        kh_buf_addf(out, "%s{\"id\":%llu,\"about\":", comma,
                    (unsigned long long)at->number);
        kh_buf_add(out, kh_buf_ptr(&at->about), kh_buf_len(&at->about));
        kh_buf_addf(out, "}");
        comma = ",";
    }
    kh_buf_addf(out, "]}");
}
