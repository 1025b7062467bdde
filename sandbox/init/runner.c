#include "sandbox/init/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
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

static void
pass_outputs(struct kh_runner *runner)
{
    bool urgent = kh_output_urgent(&runner->out[0]);

    urgent = kh_output_urgent(&runner->out[1]) || urgent;
    if (!urgent || !runner->ops->room(runner->owner))
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

/* The first byte comes only once. So no end of the nonce is also a beginning of
 * it, and text that ends like the beginning of a nonce cannot make one together
 * with the first bytes of the marker behind it. */
static void
make_nonce(unsigned char *nonce)
{
    do
        kh_random(nonce, KH_MARKER_NONCE);
    while (memchr(nonce + 1, nonce[0], KH_MARKER_NONCE - 1));
}

static void
greet(struct kh_runner *runner, int sock, int out, int err)
{
    unsigned char nonce[KH_MARKER_NONCE];
    struct kh_frame hello = {.type = KH_RUNNER_HELLO,
                             .id = KH_RUNNER_VERSION,
                             .count = 1,
                             .slice = {{nonce, sizeof(nonce)}}};
    struct kh_buf buf = KH_BUF_INIT;

    make_nonce(nonce);
    kh_source_open(&runner->sock, sock, sock_ready, runner);
    open_output(runner, 0, out, nonce);
    open_output(runner, 1, err, nonce);
    runner->left = SIZE_MAX;
    runner->frames = 0;
    runner->ended = runner->draining = runner->mute = runner->shut = false;
    kh_frame_encode(&hello, &buf, NULL);
    kh_runner_send(runner, &buf);
    kh_buf_release(&buf);
    pump(runner);
}

int
kh_runner_start(struct kh_runner *runner, const struct kh_runner_plan *plan,
                struct kh_error *err)
{
    struct kh_spawn spawn = {.argv = plan->argv,
                             .env = plan->env,
                             .cwd = plan->cwd,
                             .keep_user = plan->keep_user};
    int sock[2] = {-1, -1}, out[2] = {-1, -1}, errs[2] = {-1, -1};
    int r;

    kh_fd_close(&runner->error_fd);
    runner->pid = 0;
    runner->ended = true;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0 ||
        pipe2(out, O_CLOEXEC) < 0 || pipe2(errs, O_CLOEXEC) < 0) {
        r = kh_fail_errno(err, "cannot make pipes for a kernel");
        goto out;
    }
    /* Only our ends: the runner's must block, whoever writes to them. */
    kh_fd_nonblock(sock[0], true);
    kh_fd_nonblock(out[0], true);
    kh_fd_nonblock(errs[0], true);
    memcpy(spawn.fd, (int[]){-1, out[1], errs[1], sock[1]}, sizeof(spawn.fd));
    r = 0;
    if (!kh_warm_claim(plan->kind, &spawn, &runner->pid, &runner->error_fd))
        r = kh_spawn(&spawn, &runner->pid, &runner->error_fd, err);
    if (r < 0)
        goto out;
    greet(runner, STEAL_FD(sock[0]), STEAL_FD(out[0]), STEAL_FD(errs[0]));
out:
    kh_fd_close(&sock[0]);
    kh_fd_close(&sock[1]);
    kh_fd_close(&out[0]);
    kh_fd_close(&out[1]);
    kh_fd_close(&errs[0]);
    kh_fd_close(&errs[1]);
    return r;
}
