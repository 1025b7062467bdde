#include "sandbox/init/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "protocol/link/runner.h"
#include "sandbox/init/loop.h"

#define HELLO_MAX 256u
#define KIND_SIZE 16u
#define FDS       4

static struct warm {
    struct kh_source source; /* fd -1: free */
    pid_t pid;
    char kind[KIND_SIZE]; /* "": it has not said hello */
} warm[KH_WARM_MAX];

static struct kh_source listener = {.fd = -1};

static void
forget(struct warm *one)
{
    kh_source_close(&one->source);
    one->kind[0] = '\0';
}

static bool
take_hello(struct warm *one, const char *data, size_t size)
{
    struct kh_frame frame;
    struct kh_error err;

    if (one->kind[0] || kh_frame_decode(data, size, &frame, &err) != (long)size ||
        frame.type != KH_JOINED_HELLO || frame.count != 1 || !frame.slice[0].size ||
        frame.slice[0].size >= KIND_SIZE)
        return false;
    memcpy(one->kind, frame.slice[0].data, frame.slice[0].size);
    one->kind[frame.slice[0].size] = '\0';
    return true;
}

/* Its hello, or its end: it has nothing else to say. */
static void
ready(struct kh_source *source, uint32_t events)
{
    struct warm *one = source->owner;
    char data[HELLO_MAX];
    ssize_t n = recv(source->fd, data, sizeof(data), MSG_DONTWAIT);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !take_hello(one, data, (size_t)n))
        forget(one);
}

static struct warm *
find(const char *kind)
{
    size_t i;

    for (i = 0; i < KH_COUNT(warm); i++)
        if ((warm[i].source.fd >= 0) == (kind != NULL) &&
            (!kind || !strcmp(warm[i].kind, kind)))
            return &warm[i];
    return NULL;
}

/* Whoever could reach the socket was root inside at that moment; the process is
 * the one that connected, as the kernel noted it. */
static bool
accept_one(void)
{
    AUTO_FD int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct warm *one = find(NULL);
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (fd < 0)
        return false;
    if (!one || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        peer.pid <= 1)
        return true;
    kh_fd_refuse_fds(fd);
    one->pid = peer.pid;
    kh_source_open(&one->source, STEAL_FD(fd), ready, one);
    kh_source_watch(&one->source, EPOLLIN);
    return true;
}

static void
somebody_came(struct kh_source *source, uint32_t events)
{
    (void)source;
    (void)events;
    (void)accept_one();
}

/* The gateway orders a kernel when it knows that a runner has come, but what it
 * says may be read before the runner is. */
static void
look_at_the_door(void)
{
    size_t i;

    for (i = 0; i < KH_WARM_MAX && accept_one(); i++)
        continue;
    for (i = 0; i < KH_COUNT(warm); i++)
        if (warm[i].source.fd >= 0 && !warm[i].kind[0])
            ready(&warm[i].source, EPOLLIN);
}

int
kh_warm_open(const char *path, struct kh_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD int fd = -1;
    size_t i;

    for (i = 0; i < KH_COUNT(warm); i++)
        warm[i].source.fd = -1;
    if (strlen(path) >= sizeof(address.sun_path))
        return kh_fail(err, ENAMETOOLONG, "socket path '%s' is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (unlink(path) < 0 && errno != ENOENT)
        return kh_fail_errno(err, "cannot remove '%s'", path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, KH_WARM_MAX) < 0)
        return kh_fail_errno(err, "cannot listen on '%s'", path);
    kh_source_open(&listener, STEAL_FD(fd), somebody_came, NULL);
    kh_source_watch(&listener, EPOLLIN);
    return 0;
}

static bool
encode_start(const struct kh_spawn *plan, struct kh_buf *buf)
{
    struct kh_buf env = KH_BUF_INIT;
    struct kh_frame frame = {
        .type = KH_JOINED_START, .id = sizeof(struct kh_error), .count = 2};
    char *const *at;
    bool fits;

    for (at = plan->env; *at; at++)
        kh_buf_add(&env, *at, strlen(*at) + 1);
    frame.slice[0] = kh_slice_text(plan->cwd);
    frame.slice[1] = (struct kh_slice){kh_buf_ptr(&env), kh_buf_len(&env)};
    fits = kh_frame_size(&frame) <= KH_JOINED_MAX &&
           kh_frame_encode(&frame, buf, NULL) == 0;
    kh_buf_release(&env);
    return fits;
}

static bool
send_start(int sock, const struct kh_buf *buf, const int fds[FDS])
{
    union {
        char space[CMSG_SPACE(FDS * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {kh_buf_ptr(buf), kh_buf_len(buf)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(FDS * sizeof(int));
    memcpy(CMSG_DATA(head), fds, FDS * sizeof(int));
    return sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           (ssize_t)kh_buf_len(buf);
}

bool
kh_warm_claim(const char *kind, const struct kh_spawn *plan, pid_t *ret_pid,
              int *ret_error_fd)
{
    struct kh_buf buf = KH_BUF_INIT;
    int ends[2] = {-1, -1};
    AUTO_FD int reader = -1, writer = -1;
    bool sent = false;
    struct warm *one;

    if (listener.fd < 0)
        return false;
    look_at_the_door();
    if (!find(kind) || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    reader = ends[0];
    writer = ends[1];
    while (!sent && encode_start(plan, &buf) && (one = find(kind))) {
        const int fds[FDS] = {plan->fd[1], plan->fd[2], plan->fd[3], writer};

        *ret_pid = one->pid;
        sent = send_start(one->source.fd, &buf, fds);
        forget(one);
        kh_buf_consume(&buf, kh_buf_len(&buf));
    }
    kh_buf_release(&buf);
    if (sent)
        *ret_error_fd = STEAL_FD(reader);
    return sent;
}
