#include "sandbox/host/rootfs.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "sandbox/host/mounts.h"
#include "sandbox/host/privs.h"
#include "sandbox/host/procfs.h"
#include "sandbox/host/sys.h"

/* Detached clones of the layers and the sandbox's directory. Made before the
 * helper leaves kernelhostd's mount namespace: open_tree refuses to clone what is
 * in another one. */
struct trees {
    int layer[KH_LAYERS_MAX];
    int box;
};

/* Clones DIR as a detached mount whose ids are shifted into USERNS. */
static int
idmapped(int dir, int userns, bool writable, struct kh_error *err)
{
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                    (writable ? 0 : MOUNT_ATTR_RDONLY),
        .propagation = MS_PRIVATE,
        .userns_fd = (uint64_t)userns,
    };
    AUTO_FD int tree =
        open_tree(dir, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree < 0)
        return kh_fail_errno(err, "cannot clone a layer's mount");
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return kh_fail_errno(err,
                             "cannot idmap a layer (hint: the state directory must "
                             "be on a filesystem with idmapped mounts, like ext4, "
                             "xfs or btrfs)");
    return STEAL_FD(tree);
}

static int
clone_trees(const struct kh_plan *plan, int userns, struct trees *ret_trees,
            struct kh_error *err)
{
    int i;

    for (i = 0; i < plan->layers; i++) {
        ret_trees->layer[i] = idmapped(plan->layer[i], userns, false, err);
        if (ret_trees->layer[i] < 0)
            return -err->code;
    }
    if (plan->box < 0)
        return 0;
    ret_trees->box = idmapped(plan->box, userns, true, err);
    return ret_trees->box < 0 ? -err->code : 0;
}

static int
place(int tree, const char *name, struct kh_error *err)
{
    if (mkdir(name, 0700) < 0 ||
        move_mount(tree, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return kh_fail_errno(err, "cannot attach layer '%s'", name);
    return 0;
}

/* The scratch names are all that mountinfo inside will ever show of a path. */
static int
place_trees(const struct kh_plan *plan, const struct trees *trees, char *lower,
            size_t lower_size, struct kh_error *err)
{
    size_t used = 0;
    int i, r;

    for (i = 0; i < plan->layers; i++) {
        char name[16];

        /* Short: fsconfig takes 255 bytes for all of them. */
        snprintf(name, sizeof(name), "%d", i);
        r = place(trees->layer[i], name, err);
        if (r < 0)
            return r;
        used += (size_t)snprintf(lower + used, lower_size - used, "%s%s", i ? ":" : "",
                                 name);
    }
    if (trees->box >= 0)
        return place(trees->box, "box", err);
    if (mkdir("box", 0700) < 0 || mkdir("box/upper", 0755) < 0 ||
        mkdir("box/work", 0700) < 0 ||
        chown("box/upper", plan->id_first, plan->id_first) < 0 ||
        chown("box/work", plan->id_first, plan->id_first) < 0)
        return kh_fail_errno(err, "cannot make a disk in memory");
    return 0;
}

/* Overlayfs does its work with the credentials of who mounts it, so these must
 * be the sandbox's root: host uid 0 has no place in the idmapped upper, and the
 * mount would silently come up read-only. The capabilities stay, since copying
 * up another user's file needs them. */
static int
mount_overlay(const struct kh_plan *plan, const char *lower, struct kh_error *err)
{
    const struct kh_mount_option options[] = {
        {"source", "root"},
        {"lowerdir", lower},
        {"upperdir", "box/upper"},
        {"workdir", "box/work"},
        {"redirect_dir", "nofollow"},
        {"metacopy", "off"},
        {"index", "off"},
        {NULL, NULL},
    };
    AUTO_FD int root = -1;
    struct statvfs st;
    int r;

    r = kh_privs_fs_ids(plan->id_first, err);
    if (r < 0)
        return r;
    root = kh_mount_new("overlay", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, err);
    if (root < 0)
        return root;
    if (fstatvfs(root, &st) < 0)
        return kh_fail_errno(err, "cannot inspect the overlay");
    if (st.f_flag & ST_RDONLY)
        return kh_fail(err, EROFS,
                       "the overlay came up read-only (hint: the state "
                       "directory's filesystem must support xattrs and "
                       "d_type)");
    return STEAL_FD(root);
}

static int
attach_under(int root, const char *name, int mount, struct kh_error *err)
{
    AUTO_FD int target = kh_sys_open_in(root, name, O_PATH | O_DIRECTORY);

    if (target < 0 && errno == ENOENT && mkdirat(root, name, 0755) == 0)
        target = kh_sys_open_in(root, name, O_PATH | O_DIRECTORY);
    if (target < 0)
        return kh_fail_errno(err, "the image's '/%s' is not a plain directory", name);
    return kh_mount_onto(mount, target, name, err);
}

static int
build(const struct kh_plan *plan, const struct trees *trees, struct kh_error *err)
{
    char lower[256];
    AUTO_FD int root = -1, proc = -1, dev = -1;
    int r;

    if (unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return kh_fail_errno(err, "cannot make a mount namespace");
    if (mount("scratch", plan->mount_point, "tmpfs", MS_NOSUID | MS_NODEV,
              plan->box < 0 ? "size=64m,mode=700" : "size=1m,mode=700") < 0 ||
        chdir(plan->mount_point) < 0)
        return kh_fail_errno(err, "cannot mount on '%s'", plan->mount_point);
    r = place_trees(plan, trees, lower, sizeof(lower), err);
    if (r < 0)
        return r;
    root = mount_overlay(plan, lower, err);
    if (root < 0)
        return root;
    if (mkdir("root", 0700) < 0 ||
        move_mount(root, "", AT_FDCWD, "root", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return kh_fail_errno(err, "cannot attach the overlay");
    proc = plan->box < 0 ? kh_procfs_self(err) : kh_procfs_new(err);
    if (proc < 0)
        return proc;
    r = attach_under(root, "proc", proc, err);
    if (r == 0 && plan->box >= 0)
        r = kh_procfs_mask(plan, proc, err);
    if (r < 0)
        return r;
    dev = kh_devfs_new(plan->id_first, err);
    if (dev < 0)
        return dev;
    r = attach_under(root, "dev", dev, err);
    return r < 0 ? r : kh_devfs_fill(plan->id_first, plan->limits.memory, dev, err);
}

/* Moves the finished tree into the mount namespace of PIDFD's process. */
static int
hand_over(const struct kh_plan *plan, int pidfd, struct kh_error *err)
{
    AUTO_FD int tree =
        open_tree(AT_FDCWD, "root", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

    if (tree < 0)
        return kh_fail_errno(err, "cannot clone the finished tree");
    if (setns(pidfd, CLONE_NEWNS) < 0)
        return kh_fail_errno(err, "cannot enter the sandbox's mount namespace");
    if (move_mount(tree, "", AT_FDCWD, plan->mount_point, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return kh_fail_errno(err, "cannot attach the root inside");
    return 0;
}

static int
helper(const struct kh_plan *plan, pid_t pid, int pidfd, struct kh_error *err)
{
    struct trees trees = {{0}, -1}; /* the descriptors end with the helper */
    AUTO_FD int userns = -1;
    char path[48];
    int r;

    umask(0);
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    userns = open(path, O_RDONLY | O_CLOEXEC);
    if (userns < 0)
        return kh_fail_errno(err, "cannot open the sandbox's user namespace");
    /* Only children of this helper enter the pid namespace; one mounts /proc. */
    if (setns(pidfd, CLONE_NEWPID) < 0)
        return kh_fail_errno(err, "cannot enter the sandbox's pid namespace");
    r = clone_trees(plan, userns, &trees, err);
    if (r == 0)
        r = build(plan, &trees, err);
    return r < 0 ? r : hand_over(plan, pidfd, err);
}

int
kh_rootfs_attach(const struct kh_plan *plan, pid_t pid, int pidfd, struct kh_error *err)
{
    struct kh_error inner = {0};
    int pipes[2], r, status;
    pid_t child;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return kh_fail_errno(err, "cannot make a pipe");
    child = fork();
    if (child == 0) {
        if (helper(plan, pid, pidfd, &inner) < 0) {
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
    if (r == 0 && err)
        *err = inner;
    if (r == 0)
        return kh_fail_in(err, "build the root filesystem");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return kh_fail(err, EIO, "the helper for the root filesystem was killed");
    return 0;
}

int
kh_rootfs_enter(const struct kh_plan *plan, int userns, struct kh_error *err)
{
    struct trees trees = {{0}, -1}; /* the descriptors end with the process */
    int r;

    umask(0);
    r = clone_trees(plan, userns, &trees, err);
    if (r == 0)
        r = build(plan, &trees, err);
    if (r < 0)
        return r;
    if (chdir("root") < 0 || kh_sys_pivot_root(".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return kh_fail_errno(err, "cannot enter the new root");
    return 0;
}
