#include "sandbox/init/ends.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "protocol/link/frame.h"

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

static int
say_hello(const struct kh_ends *ends, struct kh_error *err)
{
    struct kh_frame hello = {.type = KH_RUNNER_HELLO,
                             .id = KH_RUNNER_VERSION,
                             .count = 1,
                             .slice = {{ends->nonce, sizeof(ends->nonce)}}};
    struct kh_buf buf = KH_BUF_INIT;
    int r = kh_frame_encode(&hello, &buf, err);

    if (r == 0 && write(ends->sock, kh_buf_ptr(&buf), kh_buf_len(&buf)) !=
                      (ssize_t)kh_buf_len(&buf))
        r = kh_fail_errno(err, "cannot greet a kernel");
    kh_buf_release(&buf);
    return r;
}

int
kh_ends_open(struct kh_ends *ret_ends, int ret_theirs[3], struct kh_error *err)
{
    int sock[2] = {-1, -1}, out[2] = {-1, -1}, errs[2] = {-1, -1}, r = 0, i;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0 ||
        pipe2(out, O_CLOEXEC) < 0 || pipe2(errs, O_CLOEXEC) < 0)
        r = kh_fail_errno(err, "cannot make pipes for a kernel");
    *ret_ends = (struct kh_ends){.sock = sock[0], .out = out[0], .err = errs[0]};
    memcpy(ret_theirs, (int[]){out[1], errs[1], sock[1]}, 3 * sizeof(int));
    if (r == 0) {
        kh_fd_nonblock(sock[0], true);
        kh_fd_nonblock(out[0], true);
        kh_fd_nonblock(errs[0], true);
        make_nonce(ret_ends->nonce);
        r = say_hello(ret_ends, err);
    }
    if (r < 0) {
        kh_ends_close(ret_ends);
        for (i = 0; i < 3; i++)
            kh_fd_close(&ret_theirs[i]);
    }
    return r;
}

void
kh_ends_close(struct kh_ends *ends)
{
    kh_fd_close(&ends->sock);
    kh_fd_close(&ends->out);
    kh_fd_close(&ends->err);
}

bool
kh_ends_pass(int sock, const struct kh_buf *bytes, const int *fds, unsigned count)
{
    union {
        char space[CMSG_SPACE(KH_ENDS_PASS * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {kh_buf_ptr(bytes), kh_buf_len(bytes)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *head = &control.align; /* the first one */

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    return sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           (ssize_t)kh_buf_len(bytes);
}
