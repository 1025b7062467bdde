#include "sandbox/host/renew.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/sys.h"

#define RESUME         "--resume="
#define UPGRADE        "upgrade"
#define PATH_MAX_BYTES 4096u

static char *
default_program(const char *first, struct kh_error *err)
{
    char path[PATH_MAX_BYTES];
    ssize_t n;

    if (first[0] == '/')
        return kh_xstrdup(first);
    n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n < 0) {
        kh_fail_errno(err, "cannot find the own program");
        return NULL;
    }
    path[n] = '\0';
    return kh_xstrdup(path);
}

/* It is asked for once: whatever becomes of it, the next renewal is of what runs. */
static char *
find_program(const struct kh_store *store, char *const *argv, struct kh_error *err)
{
    AUTO_FREE char *path = NULL;
    struct stat st;
    int r = kh_fd_read_file(store->run, UPGRADE, PATH_MAX_BYTES, &path, NULL, err);

    if (r < 0 && r != -ENOENT)
        return NULL;
    (void)unlinkat(store->run, UPGRADE, 0);
    if (path)
        path[strcspn(path, "\n")] = '\0';
    else
        path = default_program(argv[0], err);
    if (!path)
        return NULL;
    if (path[0] == '/' && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
        access(path, X_OK) == 0)
        return STEAL_PTR(path);
    kh_fail(err, ENOEXEC, "'%s' is no program (hint: make install)", path);
    return NULL;
}

/* The arguments of before, once EXTRA behind the program's name. */
static char **
arguments(char *program, char *const *argv, char *extra)
{
    size_t count = 0, n = 0;
    char **out;

    while (argv[count])
        count++;
    out = kh_xcalloc(count + 2, sizeof(*out));
    out[n++] = program;
    out[n++] = extra;
    for (argv++; *argv; argv++)
        if (strncmp(*argv, RESUME, strlen(RESUME)) != 0)
            out[n++] = *argv;
    return out;
}

int
kh_renewal_begin(struct kh_renewal *renewal, const struct kh_store *store,
                 void (*ended)(struct kh_process *, int status), void *owner,
                 struct kh_error *err)
{
    static char check[] = "--check";
    AUTO_FREE char **argv = NULL;
    sigset_t none;
    int pidfd = -1;
    pid_t pid;

    free(renewal->program);
    renewal->program = find_program(store, renewal->argv, err);
    if (!renewal->program)
        return -err->code;
    argv = arguments(renewal->program, renewal->argv, check);
    pid = kh_sys_clone(0, -1, &pidfd);
    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execv(renewal->program, argv);
        _exit(127);
    }
    return kh_process_watch(&renewal->check, pid, pidfd, ended, owner, err);
}

/* Both keep their numbers: the lock goes with the first descriptor of its file that
 * is closed, so it cannot be copied to another number. */
int
kh_renewal_exec(struct kh_renewal *renewal, const struct kh_store *store, int api,
                struct kh_error *err)
{
    char resume[48];
    AUTO_FREE char **argv = arguments(renewal->program, renewal->argv, resume);
    int r;

    snprintf(resume, sizeof(resume), RESUME "%d,%d", store->lock, api);
    if (kh_fd_cloexec(store->lock, false) == 0 && kh_fd_cloexec(api, false) == 0)
        execv(renewal->program, argv);
    r = kh_fail_errno(err, "cannot execute '%s'", renewal->program);
    (void)kh_fd_cloexec(store->lock, true);
    (void)kh_fd_cloexec(api, true);
    return r;
}

void
kh_renewal_tell(const struct kh_store *store, const struct kh_error *failed)
{
    char text[KH_ERROR_TEXT_MAX + 32];
    struct kh_error err = {0};
    int n = failed ? snprintf(text, sizeof(text), "failed %s\n", failed->text)
                   : snprintf(text, sizeof(text), "ok " PACKAGE_VERSION "\n");

    if (kh_fd_replace_file(store->run, "renewal", text, (size_t)n, 0600, &err) < 0)
        kh_log(KH_LOG_WARN, "%s", err.text);
}

static void
fill_standard(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < 3);
    if (fd >= 0)
        close(fd);
}

int
kh_inherited_take(const char *resume, struct kh_inherited *ret_inherited,
                  struct kh_error *err)
{
    struct kh_inherited in = {-1, -1};
    socklen_t size = sizeof(int);
    struct stat st;
    int low, high, listening = 0;

    if (resume && (sscanf(resume, "%9d,%9d", &in.lock, &in.api) != 2 || in.lock < 3 ||
                   in.api < 3 || in.lock == in.api))
        return kh_fail(err, EINVAL, "--resume is for kernelhostd itself");
    low = in.lock < in.api ? in.lock : in.api;
    high = in.lock < in.api ? in.api : in.lock;
    if (!resume)
        syscall(SYS_close_range, 3, ~0u, 0);
    if (resume && low > 3)
        syscall(SYS_close_range, 3, low - 1, 0);
    if (resume && high > low + 1)
        syscall(SYS_close_range, low + 1, high - 1, 0);
    if (resume)
        syscall(SYS_close_range, high + 1, ~0u, 0);
    fill_standard();
    if (resume &&
        (fstat(in.lock, &st) < 0 || !S_ISREG(st.st_mode) ||
         getsockopt(in.api, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 ||
         !listening || kh_fd_cloexec(in.lock, true) < 0 ||
         kh_fd_cloexec(in.api, true) < 0))
        return kh_fail(err, EINVAL, "--resume is for kernelhostd itself");
    *ret_inherited = in;
    return 0;
}
