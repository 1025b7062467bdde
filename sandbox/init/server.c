#include "sandbox/init/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/init/conn.h"
#include "sandbox/init/loop.h"

#define BACKLOG 8

static struct kh_source listener = {.fd = -1};
static bool check_peers;

/* Given up when descriptors have run out: a connection that cannot be accepted
 * would wake the loop for ever, and the gateway is the one that can free some. */
static int spare_fd = -1;

static bool
is_outside(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == 0;
}

static void
accept_one(struct kh_source *source, uint32_t events)
{
    int fd;

    (void)events;
    kh_fd_close(&spare_fd);
    fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (check_peers && !is_outside(fd))
        close(fd);
    else
        kh_conn_open(fd);
    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Our own directory, even if an earlier start left it with another mode. */
static int
make_directory(const char *path, struct kh_error *err)
{
    AUTO_FREE char *dir = kh_xstrdup(path);
    char *slash = strrchr(dir, '/');
    struct stat st;

    if (!slash || slash == dir)
        return 0;
    *slash = '\0';
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make directory '%s'", dir);
    if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return kh_fail(err, ENOTDIR, "'%s' is not a directory of ours", dir);
    if (chmod(dir, 0700) < 0)
        return kh_fail_errno(err, "cannot protect directory '%s'", dir);
    return 0;
}

int
kh_server_open(const char *path, bool check, struct kh_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD int fd = -1;

    if (strlen(path) >= sizeof(address.sun_path))
        return kh_fail(err, ENAMETOOLONG, "socket path '%s' is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (check && make_directory(path, err) < 0)
        return -err->code;
    if (unlink(path) < 0 && errno != ENOENT)
        return kh_fail_errno(err, "cannot remove '%s'", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, BACKLOG) < 0)
        return kh_fail_errno(err, "cannot listen on '%s'", path);
    check_peers = check;
    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    kh_source_open(&listener, STEAL_FD(fd), accept_one, NULL);
    kh_source_watch(&listener, EPOLLIN);
    return 0;
}
