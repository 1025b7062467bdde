#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"

#define PASS_MAX 8

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* the header of the build machine may be older */
#endif

void
kh_fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int
kh_fd_nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int
kh_fd_cloexec(int fd, bool on)
{
    return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int
kh_fd_read_full(int fd, void *p, size_t size)
{
    char *at = p;

    while (size) {
        ssize_t n = read(fd, at, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EPIPE;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

int
kh_fd_write_full(int fd, const void *p, size_t size)
{
    const char *at = p;

    while (size) {
        ssize_t n = write(fd, at, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

int
kh_fd_read_file(int dirfd, const char *path, size_t max, char **ret_data,
                size_t *ret_size, struct kh_error *err)
{
    AUTO_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    AUTO_FREE char *data = NULL;
    size_t used = 0, size = 4096;

    if (fd < 0)
        return kh_fail_errno(err, "cannot open '%s'", path);
    data = kh_xcalloc(1, size + 1);
    for (;;) {
        ssize_t n = read(fd, data + used, size - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kh_fail_errno(err, "cannot read '%s'", path);
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > max)
            return kh_fail(err, EFBIG, "file '%s' is larger than %zu bytes", path, max);
        if (used == size) {
            size *= 2;
            data = kh_xrealloc(data, size + 1);
        }
    }
    data[used] = '\0';
    *ret_data = STEAL_PTR(data);
    if (ret_size)
        *ret_size = used;
    return 0;
}

int
kh_fd_replace_file(int dirfd, const char *path, const void *p, size_t size, mode_t mode,
                   struct kh_error *err)
{
    AUTO_FREE char *tmp = NULL;
    AUTO_FREE char *dir = NULL;
    AUTO_FD int fd = -1;
    AUTO_FD int dfd = -1;
    unsigned nonce;
    char *slash;
    int r;

    kh_random(&nonce, sizeof(nonce));
    tmp = kh_xasprintf("%s.%08x.tmp", path, nonce);
    dir = kh_xstrdup(path);
    slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = '\0';
    dfd = openat(dirfd, slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dfd < 0)
        return kh_fail_errno(err, "cannot open directory of '%s'", path);
    fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return kh_fail_errno(err, "cannot create '%s'", tmp);
    r = kh_fd_write_full(fd, p, size);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dirfd, tmp, 0);
        errno = -r;
        return kh_fail_errno(err, "cannot write '%s'", path);
    }
    if (fsync(dfd) < 0)
        return kh_fail_errno(err, "cannot sync directory of '%s'", path);
    return 0;
}

int
kh_fd_send(int sock, const void *p, size_t size, int pass)
{
    struct iovec iov = {.iov_base = (void *)p, .iov_len = size};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;
    ssize_t n;

    if (pass >= 0) {
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof(control.space);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &pass, sizeof(int));
    }
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == size ? 0 : -EMSGSIZE;
}

void
kh_fd_refuse_fds(int sock)
{
    (void)setsockopt(sock, SOL_SOCKET, SO_PASSRIGHTS, &(int){0}, sizeof(int));
}

/* A kernel before 6.16 takes whatever comes: at least the close of a TCP socket
 * must not wait until its bytes are gone. */
static void
close_unwanted(int fd)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}

/* Keeps the first passed descriptor, closes the rest. */
static int
take_fds(struct msghdr *msg)
{
    struct cmsghdr *c;
    int kept = -1;

    for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t i, count;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (kept < 0)
                kept = fd;
            else
                close_unwanted(fd);
        }
    }
    return kept;
}

ssize_t
kh_fd_recv(int sock, void *p, size_t size, int *ret_pass)
{
    struct iovec iov = {.iov_base = p, .iov_len = size};
    union {
        char space[CMSG_SPACE(PASS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    ssize_t n;
    int fd;

    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    fd = take_fds(&msg);
    if (msg.msg_flags & MSG_TRUNC)
        n = -EMSGSIZE;
    if (ret_pass && n >= 0)
        *ret_pass = fd;
    else if (fd >= 0)
        close_unwanted(fd);
    return n;
}

void
kh_random(void *p, size_t size)
{
    char *at = p;

    while (size) {
        ssize_t n = getrandom(at, size, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort();
        at += n;
        size -= (size_t)n;
    }
}
