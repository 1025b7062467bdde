#include "sandbox/host/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

int
kh_helper_run(int (*work)(const void *arg, struct kh_error *err), const void *arg,
              const char *what, struct kh_error *err)
{
    struct kh_error inner = {0};
    int pipes[2], r, status;
    pid_t child;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return kh_fail_errno(err, "cannot make a pipe");
    child = fork();
    if (child == 0) {
        if (work(arg, &inner) < 0) {
            (void)kh_fd_write_full(pipes[1], &inner, sizeof(inner));
            _exit(1);
        }
        _exit(0);
    }
    close(pipes[1]);
    if (child < 0) {
        close(pipes[0]);
        return kh_fail_errno(err, "cannot fork");
    }
    r = kh_fd_read_full(pipes[0], &inner, sizeof(inner));
    close(pipes[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (r == 0) {
        if (err)
            *err = inner;
        kh_fail_in(err, "%s", what);
        return -inner.code;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return kh_fail(err, EIO, "%s: the helper was killed", what);
    return 0;
}
