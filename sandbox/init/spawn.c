#include "sandbox/init/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "protocol/link/init.h"

#define ABOVE_STDIO   10 /* the descriptors of the plan are moved out of the way */
#define OOM_SCORE_ADJ "500"
#define FILES_SOFT    16384u

static const char *const fixed_env[] = {KH_USER_ENV, NULL};

/* Hard limits are the sandbox's; only what surprises programs is set. */
static const struct {
    int resource;
    rlim_t soft;
} limits[] = {
    {RLIMIT_CORE, 0},
    {RLIMIT_NOFILE, FILES_SOFT},
};

/* By the system call: the libc does not let us at its own two signals, and what
 * they were when init was started would reach the user's programs. */
static void
default_signals(void)
{
    static const unsigned long action[8]; /* the kernel's sigaction: SIG_DFL, 0... */
    sigset_t none;
    int i;

    for (i = 1; i < NSIG; i++)
        syscall(SYS_rt_sigaction, i, action, NULL, sizeof(unsigned long));
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
set_limits(struct kh_error *err)
{
    struct rlimit limit;
    size_t i;

    for (i = 0; i < KH_COUNT(limits); i++) {
        if (getrlimit(limits[i].resource, &limit) < 0)
            return kh_fail_errno(err, "cannot read resource limits");
        limit.rlim_cur =
            limits[i].soft < limit.rlim_max ? limits[i].soft : limit.rlim_max;
        if (setrlimit(limits[i].resource, &limit) < 0)
            return kh_fail_errno(err, "cannot set resource limits");
    }
    return 0;
}

/* A value that only rises needs no capability, but the file must be ours: so
 * it comes before the change of user. In a sandbox that CRIU has made, files of who is
 * undumpable are the host's; the change of user takes that back (commit_creds). */
static int
raise_oom_score(const struct kh_spawn *plan, struct kh_error *err)
{
    AUTO_FD int fd = -1;

    (void)prctl(PR_SET_DUMPABLE, 1);
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, OOM_SCORE_ADJ, strlen(OOM_SCORE_ADJ)) > 0)
        return 0;
    if (plan->keep_user)
        return 0;
    return kh_fail_errno(err, "cannot set '/proc/self/oom_score_adj'");
}

static int
become_user(struct kh_error *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};

    if (setgroups(0, NULL) < 0)
        return kh_fail_errno(err, "cannot drop supplementary groups");
    if (setresgid(KH_USER_GID, KH_USER_GID, KH_USER_GID) < 0 ||
        setresuid(KH_USER_UID, KH_USER_UID, KH_USER_UID) < 0)
        return kh_fail_errno(err, "cannot become user %d", KH_USER_UID);
    if (syscall(SYS_capset, &head, none) < 0)
        return kh_fail_errno(err, "cannot drop capabilities");
    return 0;
}

static int
place_fds(const struct kh_spawn *plan, struct kh_error *err)
{
    int high[KH_COUNT(plan->fd)];
    unsigned i;

    for (i = 0; i < KH_COUNT(high); i++) {
        high[i] = plan->fd[i];
        if (i < 3 && high[i] < 0)
            high[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (high[i] < 0 && i == 3)
            continue;
        high[i] = fcntl(high[i], F_DUPFD_CLOEXEC, ABOVE_STDIO);
        if (high[i] < 0)
            return kh_fail_errno(err, "cannot place descriptor %u", i);
    }
    for (i = 0; i < KH_COUNT(high); i++)
        if (high[i] >= 0 && dup2(high[i], (int)i) < 0)
            return kh_fail_errno(err, "cannot place descriptor %u", i);
    i = high[3] >= 0 ? 4 : 3;
    if (close_range(i, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return kh_fail_errno(err, "cannot close other descriptors");
    return 0;
}

static const char *
path_of(char *const *env)
{
    for (; *env; env++)
        if (!strncmp(*env, "PATH=", 5))
            return *env + 5;
    return "/usr/bin:/bin";
}

/* As execvpe, but with the PATH of the plan. Returns only on failure. */
static void
search_exec(const struct kh_spawn *plan)
{
    const char *at = path_of(plan->env);
    char file[PATH_MAX];
    int code = ENOENT;

    for (;;) {
        size_t n = strcspn(at, ":");
        int m = snprintf(file, sizeof(file), "%.*s%s%s", (int)n, at, n ? "/" : "",
                         plan->argv[0]);

        if (m > 0 && (size_t)m < sizeof(file)) {
            execve(file, plan->argv, plan->env);
            if (errno != ENOENT && errno != ENOTDIR)
                code = errno;
        }
        if (!at[n])
            break;
        at += n + 1;
    }
    errno = code;
}

static int
run_child(const struct kh_spawn *plan, struct kh_error *err)
{
    if (setsid() < 0)
        return kh_fail_errno(err, "cannot make a session");
    if (place_fds(plan, err) < 0 || set_limits(err) < 0 ||
        raise_oom_score(plan, err) < 0)
        return -err->code;
    if (!plan->keep_user && become_user(err) < 0)
        return -err->code;
    if (chdir(plan->cwd) < 0)
        return kh_fail_errno(err, "cannot enter directory '%s'", plan->cwd);
    umask(022);
    default_signals();
    if (strchr(plan->argv[0], '/'))
        execve(plan->argv[0], plan->argv, plan->env);
    else
        search_exec(plan);
    return kh_fail_errno(err, "cannot run '%s'", plan->argv[0]);
}

int
kh_spawn(const struct kh_spawn *plan, pid_t *ret_pid, int *ret_error_fd,
         struct kh_error *err)
{
    AUTO_FD int reader = -1;
    AUTO_FD int writer = -1;
    struct kh_error why = {0};
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return kh_fail_errno(err, "cannot make a pipe");
    reader = ends[0];
    writer = fcntl(ends[1], F_DUPFD_CLOEXEC, ABOVE_STDIO);
    close(ends[1]);
    if (writer < 0)
        return kh_fail_errno(err, "cannot make a pipe");
    pid = fork();
    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    if (pid == 0) {
        run_child(plan, &why);
        kh_fd_write_full(writer, &why, sizeof(why));
        _exit(127);
    }
    *ret_pid = pid;
    *ret_error_fd = STEAL_FD(reader);
    return 0;
}

bool
kh_spawn_is_ours(pid_t pid)
{
    siginfo_t info;

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

bool
kh_spawn_failed(int error_fd, struct kh_error *ret_why)
{
    struct kh_error why;

    if (error_fd < 0 || read(error_fd, &why, sizeof(why)) != (ssize_t)sizeof(why))
        return false;
    why.text[sizeof(why.text) - 1] = '\0';
    *ret_why = why;
    return true;
}

int
kh_spawn_strings(struct kh_slice slice, char ***ret_strings, struct kh_error *err)
{
    const char *at = slice.data, *end = at + slice.size;
    size_t count = 0;
    char **strings, *copy;

    if (slice.size > KH_SPAWN_BYTES_MAX)
        return kh_fail(err, E2BIG, "strings of %zu bytes are over the limit of %u",
                       slice.size, KH_SPAWN_BYTES_MAX);
    if (slice.size && end[-1])
        return kh_fail(err, EINVAL, "the last string is not ended");
    for (; at < end; at += strlen(at) + 1)
        if (++count > KH_SPAWN_STRINGS_MAX)
            return kh_fail(err, E2BIG, "more than %u strings", KH_SPAWN_STRINGS_MAX);
    strings = kh_xcalloc(1, (count + 1) * sizeof(*strings) + slice.size + 1);
    copy = (char *)(strings + count + 1);
    if (slice.size)
        memcpy(copy, slice.data, slice.size);
    for (count = 0, end = copy + slice.size; copy < end; copy += strlen(copy) + 1)
        strings[count++] = copy;
    *ret_strings = strings;
    return 0;
}

/* Puts S behind the COUNT strings of ENV, or in the place of the one with the
 * same name. */
static size_t
put_env(char **env, size_t count, char *s)
{
    size_t name = strcspn(s, "=") + 1, i;

    for (i = 0; i < count && strncmp(env[i], s, name) != 0; i++)
        continue;
    env[i] = s;
    return i == count ? count + 1 : count;
}

int
kh_spawn_env(char *const *base, char *const *extra, char ***ret_env,
             struct kh_error *err)
{
    char *const *lists[] = {(char *const *)fixed_env, base, extra};
    size_t count = 0, most = 1, i;
    char *const *at;
    char **env;

    for (at = extra; at && *at; at++)
        if (!strchr(*at, '=') || **at == '=')
            return kh_fail(err, EINVAL, "environment string %td is not NAME=VALUE",
                           at - extra);
    for (i = 0; i < KH_COUNT(lists); i++)
        for (at = lists[i]; at && *at; at++)
            most++;
    env = kh_xcalloc(most, sizeof(*env));
    for (i = 0; i < KH_COUNT(lists); i++)
        for (at = lists[i]; at && *at; at++)
            count = put_env(env, count, *at);
    *ret_env = env;
    return 0;
}
