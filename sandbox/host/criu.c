#include "sandbox/host/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/host/helper.h"
#include "sandbox/host/hook.h"
#include "sandbox/host/privs.h"

#define ARGS_MAX 512
#define LOG_MAX  (64u * 1024 * 1024)
#define NOTE_MAX 65536u

/* What CRIU finds out about the kernel it notes on a tmpfs: as root in /run, else in
 * XDG_RUNTIME_DIR; and as root it finds out more. */
#define NOTES "/dev/shm/kernelhost-criu"
#define NOTE  "criu.kdat"
#define RUN   "/run"

static bool
executable(const char *path)
{
    return access(path, X_OK) == 0;
}

int
kh_criu_find(const char *dir, const char *hook, struct kh_criu *ret_criu,
             struct kh_error *err)
{
    static const char *const system[] = {"/usr/sbin/criu", "/usr/local/sbin/criu"};
    struct kh_criu criu = {0};
    size_t i;

    snprintf(criu.hook, sizeof(criu.hook), "%s", hook);
    snprintf(criu.program, sizeof(criu.program), "%s/usr/sbin/criu", dir);
    snprintf(criu.loader, sizeof(criu.loader), "%s/usr/lib64/ld-linux-x86-64.so.2",
             dir);
    snprintf(criu.libraries, sizeof(criu.libraries), "%s/usr/lib/x86_64-linux-gnu",
             dir);
    if (!executable(criu.program) || !executable(criu.loader)) {
        criu.program[0] = criu.loader[0] = '\0';
        for (i = 0; i < KH_COUNT(system) && !criu.program[0]; i++)
            if (executable(system[i]))
                snprintf(criu.program, sizeof(criu.program), "%s", system[i]);
    }
    if (!criu.program[0])
        return kh_fail(err, ENOENT,
                       "there is no criu (hint: ./dev build puts one that fits the "
                       "kernel beside kernelhostd; or apt-get install criu)");
    if (!executable(criu.hook))
        return kh_fail_errno(err, "cannot execute '%s'", criu.hook);
    *ret_criu = criu;
    return 0;
}

/* Not the caller's: a shell could have left anything in it. */
static const char runtime_dir[] = "XDG_RUNTIME_DIR=" NOTES;
static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                          "LANG=C", "HOME=/", runtime_dir, NULL};

static int
descriptors(int hook_fd, struct kh_error *err)
{
    int null = open("/dev/null", O_RDWR | O_NOFOLLOW), i;

    if (null < 0)
        return kh_fail_errno(err, "cannot open '/dev/null'");
    for (i = 0; i < 3; i++)
        if (null != i && dup2(null, i) < 0)
            return kh_fail_errno(err, "cannot set descriptor %d", i);
    if (hook_fd >= 0 && hook_fd != KH_HOOK_FD && dup2(hook_fd, KH_HOOK_FD) < 0)
        return kh_fail_errno(err, "cannot set descriptor %d", KH_HOOK_FD);
    if (hook_fd >= 0 && kh_fd_cloexec(KH_HOOK_FD, false) < 0)
        return kh_fail_errno(err, "cannot keep descriptor %d", KH_HOOK_FD);
    if (syscall(SYS_close_range, hook_fd >= 0 ? KH_HOOK_FD + 1 : KH_HOOK_FD, ~0u, 0) <
        0)
        return kh_fail_errno(err, "cannot close descriptors");
    return 0;
}

static void
plain_signals(void)
{
    sigset_t none;
    int sig;

    for (sig = 1; sig < NSIG; sig++)
        (void)signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The directory of the notes; anybody may have made it. */
static int
open_notes(struct kh_error *err)
{
    AUTO_FD int dir = -1;
    struct stat st;

    if (mkdir(NOTES, 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make '" NOTES "'");
    dir = open(NOTES, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0 || fstat(dir, &st) < 0)
        return kh_fail_errno(err, "cannot open '" NOTES "'");
    if (st.st_uid != 0 || (st.st_mode & 07777) != 0700)
        return kh_fail(err, EPERM,
                       "'" NOTES "' is not root's (hint: remove it, and look who made "
                       "it)");
    return STEAL_FD(dir);
}

static int
copy_note(int from, const char *from_name, int to, struct kh_error *err)
{
    AUTO_FREE char *data = NULL;
    size_t size = 0;
    int r = kh_fd_read_file(from, from_name, NOTE_MAX, &data, &size, err);

    return r < 0 ? r : kh_fd_replace_file(to, NOTE, data, size, 0600, err);
}

struct learning {
    const struct kh_criu *criu;
    int dir; /* of the notes */
};

static int
learn(const void *arg, struct kh_error *err)
{
    static const char *const args[] = {"check", NULL};
    const struct learning *learning = arg;
    int status = -1;
    pid_t pid;

    if (unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("run", RUN, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700") < 0)
        return kh_fail_errno(err, "cannot mount a tmpfs for it");
    pid = fork();
    if (pid == 0) {
        (void)kh_criu_exec(learning->criu, 0, RUN, args, -1, err);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0 || status != 0)
        return kh_fail(err, ENOTSUP,
                       "criu check fails on this kernel (hint: kernelhost doctor says "
                       "why)");
    return copy_note(AT_FDCWD, RUN "/" NOTE, learning->dir, err);
}

int
kh_criu_learn(const struct kh_criu *criu, struct kh_error *err)
{
    AUTO_FD int dir = open_notes(err);
    const struct learning learning = {criu, dir};

    if (dir < 0)
        return dir;
    if (faccessat(dir, NOTE, R_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return kh_helper_run(learn, &learning, "note what criu finds out about the kernel",
                         err);
}

void
kh_criu_remember(const struct kh_criu *criu, const char *avoid)
{
    const char *const needed[] = {criu->program, criu->loader, criu->hook, avoid};
    AUTO_FD int notes = open_notes(NULL);
    AUTO_FD int run = -1;
    size_t i;

    for (i = 0; i < KH_COUNT(needed); i++)
        if (!strncmp(needed[i], RUN "/", strlen(RUN "/")))
            return;
    if (notes < 0 || mount("run", RUN, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700") < 0)
        return;
    run = open(RUN, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run >= 0)
        (void)copy_note(notes, NOTE, run, NULL);
}

int
kh_criu_exec(const struct kh_criu *criu, uint32_t owner, const char *images,
             const char *const *args, int hook_fd, struct kh_error *err)
{
    const char *argv[ARGS_MAX];
    size_t n = 0, i;

    if (criu->loader[0]) {
        argv[n++] = criu->loader;
        argv[n++] = "--library-path";
        argv[n++] = criu->libraries;
    }
    argv[n++] = criu->program;
    for (i = 0; args[i] && n < ARGS_MAX - 5; i++)
        argv[n++] = args[i];
    if (args[i])
        return kh_fail(err, E2BIG, "too many arguments for criu");
    if (owner) /* else criu would insist on the effective id 0 */
        argv[n++] = "--unprivileged";
    argv[n++] = "--images-dir";
    argv[n++] = images;
    argv[n] = NULL;
    plain_signals();
    (void)setsid();
    umask(077);
    if (descriptors(hook_fd, err) < 0 || (owner && kh_privs_carry(owner, err) < 0))
        return -err->code;
    /* exec writes to neither; its prototype is older than const. */
    execve(argv[0], (char *const *)argv, (char *const *)environment);
    return kh_fail_errno(err, "cannot execute '%s'", argv[0]);
}

void
kh_criu_cause(char *log, char *out, size_t size)
{
    char *line, *save = NULL;
    const char *found = NULL, *at;

    out[0] = '\0';
    /* The first error is the cause, those behind it what became of it. */
    for (line = strtok_r(log, "\n", &save); line && !found;
         line = strtok_r(NULL, "\n", &save)) {
        found = strstr(line, "Error (");
        if (found && strstr(found, "rlimit: Can't setup"))
            found = NULL; /* no failure: it goes on with what it has */
    }
    if (!found)
        return;
    at = strstr(found, "): ");
    at = at ? at + 3 : found;
    /* It was waiting for a child that was frozen before it had executed anything. */
    if (!strncmp(at, "Timeout reached", 15))
        at = "a process could not be stopped just then (hint: try again)";
    kh_log_clean(at, strlen(at), out, size);
}

void
kh_criu_reason(int dir, const char *log, char *out, size_t size)
{
    AUTO_FREE char *text = NULL;

    out[0] = '\0';
    if (kh_fd_read_file(dir, log, LOG_MAX, &text, NULL, NULL) == 0)
        kh_criu_cause(text, out, size);
}
