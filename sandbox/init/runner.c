#include "sandbox/init/runner.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "sandbox/init/ends.h"
#include "sandbox/init/spawn.h"
#include "sandbox/init/warm.h"

#define READ_SIZE (64u * 1024)
#define READS_MAX 16 /* of a socket, before a pipe has its turn */

static void pump(struct kh_runner *runner);
static bool catch_up(struct kh_runner *runner);

void
kh_runner_init(struct kh_runner *runner, const struct kh_runner_ops *ops, void *owner)
{
    *runner = (struct kh_runner){.ops = ops, .owner = owner, .error_fd = -1};
    runner->sock.fd = runner->out[0].source.fd = runner->out[1].source.fd = -1;
    runner->out[0].due = runner->out[1].due = KH_NEVER;
}

/* ---- pipes ---- */

static void
watch_output(struct kh_runner *runner, struct kh_output *output)
{
    bool wanted = kh_output_open(output) && !kh_output_rests(output) &&
                  runner->ops->room(runner->owner);

    kh_source_watch(&output->source, wanted ? EPOLLIN : 0);
}

/* Text has no order across the two pipes but the one in which we read, and it
 * shows as stdout before stderr. Reading stderr first keeps that true: what was
 * printed before it is then in the other pipe already. Before that come the frames
 * that were sent already: what is read now was not all there before them, and
 * only the last read of a pipe knows its time. */
static void
output_ready(struct kh_source *source, uint32_t events)
{
    struct kh_runner *runner = source->owner;

    if (events & (EPOLLHUP | EPOLLERR))
        runner->out[source == &runner->out[1].source].closed = true;
    if (catch_up(runner)) {
        kh_output_read(&runner->out[1]);
        kh_output_read(&runner->out[0]);
    }
    pump(runner);
}

/* Between the last look at the socket and the read of a pipe the runner may have sent
 * a frame and then written what was read: that frame comes first. */
static void
pass_outputs(struct kh_runner *runner)
{
    bool urgent = kh_output_urgent(&runner->out[0]);

    urgent = kh_output_urgent(&runner->out[1]) || urgent;
    if (!urgent || !runner->ops->room(runner->owner) || !catch_up(runner))
        return;
    kh_output_pass(&runner->out[0], runner->frames);
    kh_output_pass(&runner->out[1], runner->frames);
}

/* ---- socket ---- */

static void
send_some(struct kh_runner *runner)
{
    ssize_t n = 1;

    while (n > 0 && kh_buf_len(&runner->tx)) {
        n = send(runner->sock.fd, kh_buf_ptr(&runner->tx), kh_buf_len(&runner->tx),
                 MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            kh_buf_consume(&runner->tx, (size_t)n);
        else if (errno != EAGAIN && errno != EINTR)
            kh_buf_release(&runner->tx); /* nobody reads it any more */
    }
}

/* Reads once. False when there was nothing. */
static bool
read_sock(struct kh_runner *runner)
{
    size_t want = READ_SIZE < runner->left ? READ_SIZE : runner->left;
    ssize_t n;

    if (!want || runner->sock.fd < 0)
        return false;
    n = read(runner->sock.fd, kh_buf_reserve(&runner->rx, want), want);
    if (n > 0) {
        kh_buf_wrote(&runner->rx, (size_t)n);
        if (runner->left != SIZE_MAX)
            runner->left -= (size_t)n;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        runner->left = 0;
    }
    return n > 0;
}

static void
break_off(struct kh_runner *runner, const struct kh_error *err)
{
    runner->mute = true;
    runner->left = 0;
    kh_buf_release(&runner->rx);
    kh_buf_release(&runner->tx);
    runner->ops->broken(runner->owner, err->text);
}

/* A frame with a stamp has no markers. */
static void
text_before(struct kh_runner *runner, struct kh_output *output, uint64_t stamp)
{
    if (stamp)
        kh_output_until_stamp(output, runner->frames, stamp);
    else
        kh_output_until_frame(output, runner->frames);
}

/* Takes one frame that has been read whole. Returns false when there is none. */
static bool
take_frame(struct kh_runner *runner)
{
    struct kh_frame frame;
    struct kh_error err;
    long n;

    if (runner->mute || !runner->ops->room(runner->owner))
        return false;
    n = kh_frame_decode(kh_buf_ptr(&runner->rx), kh_buf_len(&runner->rx), &frame, &err);
    if (n == 0)
        return false;
    if (n > 0) {
        text_before(runner, &runner->out[0], frame.seq);
        text_before(runner, &runner->out[1], frame.seq);
        runner->frames++;
        if (runner->ops->frame(runner->owner, &frame, &err) < 0)
            n = -1;
        else
            kh_buf_consume(&runner->rx, (size_t)n);
    }
    if (n < 0)
        break_off(runner, &err);
    return n > 0;
}

/* Takes every frame that was sent. False while there are more than it can take. */
static bool
catch_up(struct kh_runner *runner)
{
    bool more = true;
    int i;

    for (i = 0; i < READS_MAX && more && runner->ops->room(runner->owner); i++) {
        more = read_sock(runner);
        while (take_frame(runner))
            continue;
    }
    return !more && runner->ops->room(runner->owner);
}

static void
watch_sock(struct kh_runner *runner)
{
    uint32_t events = 0;

    if (runner->left && !runner->mute && runner->ops->room(runner->owner))
        events |= EPOLLIN;
    if (runner->left && kh_buf_len(&runner->tx))
        events |= EPOLLOUT;
    kh_source_watch(&runner->sock, events);
}

static void
sock_ready(struct kh_source *source, uint32_t events)
{
    struct kh_runner *runner = source->owner;

    if (events & EPOLLOUT)
        send_some(runner);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && runner->ops->room(runner->owner))
        read_sock(runner);
    pump(runner);
}

/* ---- both ---- */

static void
close_all(struct kh_runner *runner)
{
    kh_source_close(&runner->sock);
    kh_buf_release(&runner->rx);
    kh_buf_release(&runner->tx);
    kh_output_close(&runner->out[0]);
    kh_output_close(&runner->out[1]);
}

/* After the end of the process: reads on while there is room. The socket first:
 * only when it has nothing left, markers in the pipes mean nothing. */
static void
drain(struct kh_runner *runner)
{
    int i;

    while (runner->left && runner->ops->room(runner->owner)) {
        if (!read_sock(runner))
            runner->left = 0;
        while (take_frame(runner))
            continue;
    }
    for (i = 0; i < 2; i++)
        do
            if (runner->left || !runner->ops->room(runner->owner))
                return; /* until kh_runner_resume */
        while (kh_output_drain(&runner->out[i]));
    close_all(runner);
    runner->draining = false;
    runner->ops->drained(runner->owner);
}

static void
pump(struct kh_runner *runner)
{
    while (take_frame(runner))
        continue;
    if (runner->draining) {
        drain(runner);
        return;
    }
    pass_outputs(runner);
    watch_output(runner, &runner->out[0]);
    watch_output(runner, &runner->out[1]);
    watch_sock(runner);
    if (!runner->left && !runner->shut && !runner->mute &&
        runner->ops->room(runner->owner)) {
        runner->shut = true;
        runner->ops->closed(runner->owner);
    }
}

void
kh_runner_resume(struct kh_runner *runner)
{
    if (runner->sock.fd < 0)
        return;
    if (!runner->draining && runner->ops->room(runner->owner))
        read_sock(runner);
    pump(runner);
}

void
kh_runner_send(struct kh_runner *runner, const struct kh_buf *frames)
{
    if (runner->sock.fd < 0 || !runner->left)
        return;
    kh_buf_add(&runner->tx, kh_buf_ptr(frames), kh_buf_len(frames));
    send_some(runner);
    watch_sock(runner);
}

bool
kh_runner_pass(struct kh_runner *runner, const struct kh_buf *frames, int fd)
{
    return runner->sock.fd >= 0 && runner->left && !kh_buf_len(&runner->tx) &&
           kh_ends_pass(runner->sock.fd, frames, &fd, 1);
}

void
kh_runner_ended(struct kh_runner *runner)
{
    int i, n = 0;

    runner->ended = true;
    runner->draining = true;
    kh_buf_release(&runner->tx);
    if (runner->left && ioctl(runner->sock.fd, FIONREAD, &n) == 0 && n >= 0)
        runner->left = (size_t)n;
    kh_source_watch(&runner->sock, 0);
    for (i = 0; i < 2; i++) {
        kh_output_limit(&runner->out[i]);
        kh_source_watch(&runner->out[i].source, 0);
    }
    pump(runner);
}

uint64_t
kh_runner_due(const struct kh_runner *runner)
{
    uint64_t a = runner->out[0].due, b = runner->out[1].due;

    return a < b ? a : b;
}

void
kh_runner_tick(struct kh_runner *runner, uint64_t now)
{
    if (kh_runner_due(runner) > now)
        return;
    runner->out[0].due = runner->out[1].due = KH_NEVER;
    pump(runner);
}

void
kh_runner_signal(const struct kh_runner *runner, int signal)
{
    if (runner->pid > 0 && !runner->ended)
        kill(-runner->pid, signal);
}

/* ---- start ---- */

static void
open_output(struct kh_runner *runner, int i, int fd, const unsigned char *nonce)
{
    struct kh_output *output = &runner->out[i];

    *output = (struct kh_output){.stream = i ? KH_STREAM_STDERR : KH_STREAM_STDOUT,
                                 .text = runner->ops->text,
                                 .owner = runner->owner,
                                 .whole = true,
                                 .left = SIZE_MAX,
                                 .due = KH_NEVER};
    memcpy(output->merge.nonce, nonce, KH_MARKER_NONCE);
    kh_source_open(&output->source, fd, output_ready, runner);
}

static void
attach(struct kh_runner *runner, const struct kh_ends *ends)
{
    kh_source_open(&runner->sock, ends->sock, sock_ready, runner);
    open_output(runner, 0, ends->out, ends->nonce);
    open_output(runner, 1, ends->err, ends->nonce);
    runner->left = SIZE_MAX;
    runner->frames = 0;
    runner->ended = runner->draining = runner->mute = runner->shut = false;
    pump(runner);
}

static int
begin(struct kh_runner *runner, const struct kh_runner_plan *plan,
      struct kh_ends *ret_ends, struct kh_error *err)
{
    struct kh_spawn spawn = {.argv = plan->argv,
                             .env = plan->env,
                             .cwd = plan->cwd,
                             .keep_user = plan->keep_user};
    int theirs[3], i;
    int r = kh_ends_open(ret_ends, theirs, err);

    if (r < 0)
        return r;
    spawn.fd[0] = -1;
    memcpy(&spawn.fd[1], theirs, sizeof(theirs));
    r = kh_spawn(&spawn, &runner->pid, &runner->error_fd, err);
    for (i = 0; i < 3; i++)
        kh_fd_close(&theirs[i]);
    if (r < 0)
        kh_ends_close(ret_ends);
    return r;
}

int
kh_runner_start(struct kh_runner *runner, const struct kh_runner_plan *plan,
                struct kh_error *err)
{
    struct kh_ends ends = KH_ENDS_NONE;
    int r = 0;

    kh_fd_close(&runner->error_fd);
    runner->pid = 0;
    runner->ended = true;
    if (!plan->plain ||
        !kh_warm_claim(plan->kind, &ends, &runner->pid, &runner->error_fd))
        r = begin(runner, plan, &ends, err);
    if (r == 0)
        attach(runner, &ends);
    return r;
}

void
kh_runner_adopt(struct kh_runner *runner, const struct kh_ends *ends, pid_t pid)
{
    kh_fd_close(&runner->error_fd);
    runner->pid = pid;
    attach(runner, ends);
}
