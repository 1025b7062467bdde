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
#include "sandbox/init/kind.h"
#include "sandbox/init/loop.h"
#include "sandbox/init/spawn.h"

#define HELLO_MAX 256u
#define KIND_SIZE 16u
#define FDS       4

static struct warm {
    struct kh_source source; /* to it, until it was started; fd -1: none */
    pid_t pid;               /* 0: free */
    char kind[KIND_SIZE];    /* "": it has not said hello */
    struct kh_ends ends;     /* once it was started */
    int error_fd;
} warm[KH_WARM_MAX];

static struct kh_source listener = {.fd = -1};

static void
forget(struct warm *one)
{
    kh_source_close(&one->source);
    kh_ends_close(&one->ends);
    kh_fd_close(&one->error_fd);
    one->pid = 0;
    one->kind[0] = '\0';
}

static bool
encode_start(const char *cwd, char *const *strings, struct kh_buf *buf)
{
    struct kh_buf env = KH_BUF_INIT;
    struct kh_frame frame = {
        .type = KH_JOINED_START, .id = sizeof(struct kh_error), .count = 2};
    char *const *at;
    bool fits;

    for (at = strings; *at; at++)
        kh_buf_add(&env, *at, strlen(*at) + 1);
    frame.slice[0] = kh_slice_text(cwd);
    frame.slice[1] = (struct kh_slice){kh_buf_ptr(&env), kh_buf_len(&env)};
    fits = kh_frame_size(&frame) <= KH_JOINED_MAX &&
           kh_frame_encode(&frame, buf, NULL) == 0;
    kh_buf_release(&env);
    return fits;
}

/* What a kernel of its kind starts with if the client chose nothing else. */
static bool
start(struct warm *one)
{
    struct kh_slice slices[3] = {kh_slice_text(one->kind), {NULL, 0}, {NULL, 0}};
    struct kh_buf buf = KH_BUF_INIT;
    int ends[2] = {-1, -1}, fds[FDS], i;
    struct kh_kind_plan plan;
    bool sent = false;

    if (kh_kind_plan(&plan, slices, NULL) < 0)
        return false;
    if (kh_ends_open(&one->ends, fds, NULL) == 0) {
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
            one->error_fd = ends[0];
            fds[3] = ends[1];
            sent = encode_start(plan.run.cwd, plan.run.env, &buf) &&
                   kh_ends_pass(one->source.fd, &buf, fds, FDS);
        }
        for (i = 0; i < 3; i++)
            kh_fd_close(&fds[i]);
    }
    kh_fd_close(&ends[1]);
    kh_buf_release(&buf);
    kh_kind_plan_release(&plan);
    return sent;
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

/* Its hello, or its end. It is started at once: what it has to do until it is ready
 * is done before anybody waits for it. */
static void
ready(struct kh_source *source, uint32_t events)
{
    struct warm *one = source->owner;
    char data[HELLO_MAX];
    ssize_t n = recv(source->fd, data, sizeof(data), MSG_DONTWAIT);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !take_hello(one, data, (size_t)n) || !start(one))
        forget(one);
    else
        kh_source_close(&one->source);
}

/* One of KIND that was started, or (NULL) a free place. */
static struct warm *
find(const char *kind)
{
    size_t i;

    for (i = 0; i < KH_COUNT(warm); i++)
        if (kind ? warm[i].ends.sock >= 0 && !strcmp(warm[i].kind, kind) : !warm[i].pid)
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

    for (i = 0; i < KH_COUNT(warm); i++) {
        warm[i].source.fd = warm[i].error_fd = -1;
        warm[i].ends = (struct kh_ends)KH_ENDS_NONE;
    }
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

bool
kh_warm_claim(const char *kind, struct kh_ends *ret_ends, pid_t *ret_pid,
              int *ret_error_fd)
{
    static const struct kh_ends none = KH_ENDS_NONE;
    struct warm *one;

    if (listener.fd < 0)
        return false;
    look_at_the_door();
    while ((one = find(kind)) && !kh_spawn_is_ours(one->pid))
        forget(one);
    if (!one)
        return false;
    *ret_pid = one->pid;
    *ret_ends = one->ends;
    *ret_error_fd = one->error_fd;
    one->ends = none;
    one->error_fd = -1;
    forget(one);
    return true;
}

void
kh_warm_ended(pid_t pid)
{
    size_t i;

    for (i = 0; i < KH_COUNT(warm); i++)
        if (warm[i].pid == pid)
            forget(&warm[i]);
}
