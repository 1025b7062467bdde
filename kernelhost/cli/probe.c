/* Trials of doctor that need namespaces or mounts of their own: each runs in a
 * child process, and what it made ends with it. */
#include "kernelhost/cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"

#define IDMAP "0 1073741824 65536\n"

/* Runs TRIAL in a child; what it returns (0, or an errno) is the exit status. */
static int
in_child(int (*trial)(const void *), const void *arg)
{
    pid_t pid = fork();
    int status;

    if (pid < 0)
        return errno;
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(trial(arg) & 0xff);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static int
try_unshare(const void *arg)
{
    return unshare(*(const int *)arg) < 0 ? errno : 0;
}

int
kh_probe_namespaces(int flags)
{
    return in_child(try_unshare, &flags);
}

static const char *const parts[] = {"lower", "upper", "work", "merged"};

/* All that is there afterwards, inner ones first: overlayfs makes the work/ ones. */
static const char *const leftovers[] = {
    "upper/trial", "work/work", "work/index", "lower", "upper", "work", "merged"};

/* The scratch directory is the child's current directory. */
static int
mount_overlay(void)
{
    if (mount("overlay", "merged", "overlay", 0,
              "lowerdir=lower,upperdir=upper,workdir=work") < 0)
        return errno;
    return mkdir("merged/trial", 0700) < 0 ? errno : 0;
}

static int
own_mounts(const char *dir)
{
    if (unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return errno;
    return chdir(dir) < 0 ? errno : 0;
}

static int
try_overlay(const void *dir)
{
    int failed = own_mounts(dir);

    return failed ? failed : mount_overlay();
}

static int
write_file(const char *path, const char *text)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 || write(fd, text, strlen(text)) < 0 ? errno : 0;
}

/* A user namespace with a map, as a descriptor; it is made by a grandchild that
 * waits until the map is written and then ends. Negative: -errno. */
static int
make_user_namespace(void)
{
    char path[64];
    int go[2], made[2], fd, failed;
    pid_t pid;
    char c = 0;

    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(made, O_CLOEXEC) < 0 || (pid = fork()) < 0)
        return -errno;
    if (pid == 0) {
        close(go[1]);
        c = (char)(unshare(CLONE_NEWUSER) < 0 ? errno : 0);
        if (write(made[1], &c, 1) == 1 && read(go[0], &c, 1) >= 0)
            _exit(0);
        _exit(1);
    }
    if (read(made[0], &c, 1) != 1 || c)
        return c ? -c : -EIO;
    snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
    failed = write_file(path, IDMAP);
    snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
    failed = failed ? failed : write_file(path, IDMAP);
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    fd = failed ? -failed : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && !failed)
        fd = -errno;
    close(go[1]);
    waitpid(pid, NULL, 0);
    return fd;
}

static int
idmap_part(const char *part, int userns)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP,
                              .userns_fd = (unsigned)userns};
    AUTO_FD int tree = (int)syscall(SYS_open_tree, AT_FDCWD, part,
                                    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, part, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return errno;
    return 0;
}

static int
try_idmap(const void *dir)
{
    int failed = own_mounts(dir);
    int userns = failed ? -1 : make_user_namespace();

    if (failed || userns < 0)
        return failed ? failed : -userns;
    failed = idmap_part("lower", userns);
    if (failed)
        return failed;
    /* upper and work have to be of one mount; the lower one alone shows whether
     * overlayfs takes an idmapped layer. */
    return mount_overlay();
}

/* Runs TRIAL in a scratch directory below DIR and removes what it left. */
static int
in_scratch(int (*trial)(const void *), const char *dir)
{
    AUTO_FREE char *scratch = kh_xasprintf("%s/.doctor-XXXXXX", dir);
    int failed = 0;
    size_t i;

    if (!mkdtemp(scratch))
        return errno;
    for (i = 0; i < KH_COUNT(parts); i++) {
        AUTO_FREE char *part = kh_xasprintf("%s/%s", scratch, parts[i]);

        if (mkdir(part, 0755) < 0 && !failed)
            failed = errno;
    }
    if (!failed)
        failed = in_child(trial, scratch);
    for (i = 0; i < KH_COUNT(leftovers); i++) {
        AUTO_FREE char *made = kh_xasprintf("%s/%s", scratch, leftovers[i]);

        rmdir(made);
    }
    rmdir(scratch);
    return failed;
}

int
kh_probe_overlay(const char *dir)
{
    return in_scratch(try_overlay, dir);
}

int
kh_probe_idmap(const char *dir)
{
    return in_scratch(try_idmap, dir);
}
