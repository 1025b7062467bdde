#include "base/buf.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tap.h"

static void
errors(void)
{
    struct kh_error err = {0};

    is_int(kh_fail(&err, EINVAL, "memory '%s' is no size", "5Q"), -EINVAL,
           "kh_fail returns minus its code");
    is_int(kh_fail_in(&err, "create '%s'", "mybox"), -EINVAL,
           "kh_fail_in keeps the code");
    is_str(err.text, "create 'mybox': memory '5Q' is no size",
           "the layers stand in order");
    errno = ENOENT;
    kh_fail_errno(&err, "cannot open 'x'");
    is_str(err.text, "cannot open 'x': No such file or directory",
           "kh_fail_errno adds the reason");
    is_int(kh_fail(NULL, EIO, "x"), -EIO, "no place for a text is fine");
}

static void
buffers(void)
{
    struct kh_buf buf = KH_BUF_INIT;
    int i;

    for (i = 0; i < 1000; i++)
        kh_buf_addf(&buf, "%04d", i);
    is_int(kh_buf_len(&buf), 4000, "4,000 bytes are kept");
    kh_buf_consume(&buf, 3996);
    ok(!memcmp(kh_buf_ptr(&buf), "0999", 4), "the rest is the last four");
    kh_buf_consume(&buf, 4);
    is_int(kh_buf_len(&buf), 0, "then nothing");
    kh_buf_release(&buf);
}

static void
files(void)
{
    char dir[] = "/tmp/kh-base-XXXXXX";
    struct kh_error err;
    char *data = NULL;
    size_t size = 0;
    int dfd;

    if (!mkdtemp(dir))
        return;
    dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    is_int(kh_fd_replace_file(dfd, "record", "one", 3, 0600, &err), 0,
           "a file is made");
    is_int(kh_fd_replace_file(dfd, "record", "second", 6, 0600, &err), 0,
           "and replaced");
    is_int(kh_fd_read_file(dfd, "record", 100, &data, &size, &err), 0, "and read");
    is_str(data, "second", "it holds the second content");
    free(data);
    is_int(kh_fd_read_file(dfd, "record", 5, &data, &size, &err), -EFBIG,
           "a file over the limit is refused");
    is_int(kh_fd_read_file(dfd, "none", 5, &data, &size, &err), -ENOENT,
           "a missing file is said to be missing");
    unlinkat(dfd, "record", 0);
    close(dfd);
    is_int(rmdir(dir), 0, "no temporary file is left");
}

static void
passing(void)
{
    int pair[2], got = -1;
    char small[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    is_int(kh_fd_send(pair[0], "hello", 5, pair[1]), 0, "bytes and one descriptor go");
    is_int(kh_fd_recv(pair[1], small, 2, &got), -EMSGSIZE,
           "a message longer than its place is refused");
    is_int(got, -1, "and its descriptor closed");
    kh_fd_send(pair[0], "hi", 2, pair[0]);
    is_int(kh_fd_recv(pair[1], small, 2, &got), 2, "one that fits arrives");
    ok(got >= 0 && (fcntl(got, F_GETFD) & FD_CLOEXEC),
       "its descriptor is close-on-exec");
    close(got);
    close(pair[0]);
    is_int(kh_fd_recv(pair[1], small, 2, &got), 0, "the end of the stream is 0");
    close(pair[1]);
}

/* Refused where the kernel can (6.16), else closed by the receiver. */
static void
refusing(void)
{
    int pair[2], got = -1, r;
    char small[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    kh_fd_refuse_fds(pair[1]);
    r = kh_fd_send(pair[0], "hi", 2, pair[0]);
    ok(r == 0 || r == -EPERM, "a descriptor may be refused");
    is_int(kh_fd_send(pair[0], "ho", 2, -1), 0, "bytes alone go on");
    is_int(kh_fd_recv(pair[1], small, 2, NULL), 2, "and arrive");
    is_int(kh_fd_send(pair[1], "hi", 2, pair[0]), 0, "the other way is open");
    is_int(kh_fd_recv(pair[0], small, 2, &got), 2, "for both");
    ok(got >= 0, "the bytes and the descriptor");
    close(got);
    close(pair[0]);
    close(pair[1]);
}

static void
logging(void)
{
    char out[16];

    is_str(kh_log_clean("a\n\x1b", 3, out, sizeof(out)), "a\\x0a\\x1b",
           "control bytes are escaped");
    is_str(kh_log_clean("aaaaaaaaaaaaaaaaaaaaaaaa", 24, out, sizeof(out)),
           "aaaaaaaaa...", "long text is cut");
}

/* Only who asked for it at configure time has them. */
static void
faults(void)
{
    struct kh_error err = {0};
    bool built = false;
    int status = 0;
    pid_t pid;

#ifdef KH_FAULTS
    built = true;
#endif
    unsetenv("KH_FAULT");
    is_int(kh_fault("here", &err), 0, "no fault without a wish");
    setenv("KH_FAULT", "here=ENOSPC", 1);
    is_int(kh_fault("here", &err), built ? -ENOSPC : 0, "the fault that was wished");
    if (built)
        ok(strstr(err.text, "'here'"), "with its name: %s", err.text);
    is_int(kh_fault("her", &err), 0, "none at the beginning of the name");
    is_int(kh_fault("here-too", &err), 0, "none where it goes on");
    setenv("KH_FAULT", "here", 1);
    is_int(kh_fault("here", &err), 0, "none without a kind");
    setenv("KH_FAULT", "here=EAGAIN", 1);
    is_int(kh_fault("here", &err), 0, "none of a kind that is not known");
    setenv("KH_FAULT", "here=kill", 1);
    pid = fork();
    if (pid == 0)
        _exit(kh_fault("here", NULL));
    waitpid(pid, &status, 0);
    ok(built ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
             : WIFEXITED(status) && WEXITSTATUS(status) == 0,
       "and the end, if that was wished");
    unsetenv("KH_FAULT");
}

int
main(void)
{
    errors();
    buffers();
    files();
    passing();
    refusing();
    logging();
    faults();
    return done();
}
