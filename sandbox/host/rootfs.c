#include "sandbox/host/rootfs.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/fd.h"
#include "sandbox/host/helper.h"
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
put_in(int tree, const char *name, struct kh_error *err)
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
        r = put_in(trees->layer[i], name, err);
        if (r < 0)
            return r;
        used += (size_t)snprintf(lower + used, lower_size - used, "%s%s", i ? ":" : "",
                                 name);
    }
    if (trees->box >= 0)
        return put_in(trees->box, "box", err);
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
scratch(const struct kh_plan *plan, const char *place, struct kh_error *err)
{
    if (unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return kh_fail_errno(err, "cannot make a mount namespace");
    if (mount("scratch", place, "tmpfs", MS_NOSUID | MS_NODEV,
              plan->box < 0 ? "size=64m,mode=711" : "size=1m,mode=711") < 0 ||
        chdir(place) < 0)
        return kh_fail_errno(err, "cannot mount on '%s'", place);
    return 0;
}

static int
add_proc(const struct kh_plan *plan, int root, struct kh_error *err)
{
    AUTO_FD int proc = plan->box < 0 ? kh_procfs_self(err) : kh_procfs_new(err);
    int r = proc < 0 ? proc : attach_under(root, "proc", proc, err);

    return r < 0 || plan->box < 0 ? r : kh_procfs_mask(plan, proc, err);
}

/* Without PROC there is a place for it, and /dev is beside the root, as "dev". */
static int
build(const struct kh_plan *plan, const struct trees *trees, const char *scratch_at,
      bool with_proc, struct kh_error *err)
{
    char lower[256];
    AUTO_FD int root = -1, dev = -1;
    int r = scratch(plan, scratch_at, err);

    if (r == 0)
        r = place_trees(plan, trees, lower, sizeof(lower), err);
    if (r < 0)
        return r;
    root = mount_overlay(plan, lower, err);
    if (root < 0)
        return root;
    if (mkdir("root", 0700) < 0 ||
        move_mount(root, "", AT_FDCWD, "root", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return kh_fail_errno(err, "cannot attach the overlay");
    if (with_proc) {
        r = add_proc(plan, root, err);
        if (r < 0)
            return r;
    }
    dev = kh_devfs_new(plan->id_first, err);
    if (dev < 0)
        return dev;
    r = with_proc ? attach_under(root, "dev", dev, err) : put_in(dev, "dev", err);
    return r < 0 ? r
                 : kh_devfs_fill(plan->id_first, with_proc ? plan->limits.memory : 0,
                                 dev, err);
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

struct task {
    const struct kh_plan *plan;
    pid_t pid;
    int pidfd;
};

static int
attach_inside(const void *arg, struct kh_error *err)
{
    struct trees trees = {{0}, -1}; /* the descriptors end with the helper */
    const struct task *task = arg;
    AUTO_FD int userns = -1;
    char path[48];
    int r;

    umask(0);
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)task->pid);
    userns = open(path, O_RDONLY | O_CLOEXEC);
    if (userns < 0)
        return kh_fail_errno(err, "cannot open the sandbox's user namespace");
    /* Only children of this helper enter the pid namespace; one mounts /proc. */
    if (setns(task->pidfd, CLONE_NEWPID) < 0)
        return kh_fail_errno(err, "cannot enter the sandbox's pid namespace");
    r = clone_trees(task->plan, userns, &trees, err);
    if (r == 0)
        r = build(task->plan, &trees, task->plan->mount_point, true, err);
    return r < 0 ? r : hand_over(task->plan, task->pidfd, err);
}

int
kh_rootfs_attach(const struct kh_plan *plan, pid_t pid, int pidfd, struct kh_error *err)
{
    struct task task = {plan, pid, pidfd};

    return kh_helper_run(attach_inside, &task, "build the root filesystem", err);
}

int
kh_rootfs_enter(const struct kh_plan *plan, int userns, struct kh_error *err)
{
    struct trees trees = {{0}, -1}; /* the descriptors end with the process */
    int r;

    umask(0);
    r = clone_trees(plan, userns, &trees, err);
    if (r == 0)
        r = build(plan, &trees, plan->mount_point, true, err);
    if (r < 0)
        return r;
    if (chdir("root") < 0 || kh_sys_pivot_root(".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return kh_fail_errno(err, "cannot enter the new root");
    return 0;
}

int
kh_rootfs_stage(const struct kh_plan *plan, int userns, const char *place,
                struct kh_error *err)
{
    struct trees trees = {{0}, -1}; /* the descriptors end with the process */
    int r;

    umask(0);
    r = clone_trees(plan, userns, &trees, err);
    return r < 0 ? r : build(plan, &trees, place, false, err);
}

/* What CRIU has mounted is a plain procfs. Ours is built beside it, and takes its
 * place: who holds a file of the old one keeps it. */
static int
replace_proc(const void *arg, struct kh_error *err)
{
    const struct task *task = arg;
    AUTO_FD int tree = -1, target = -1, root = -1, proc = -1;
    int r;

    umask(0);
    if (setns(task->pidfd, CLONE_NEWPID) < 0)
        return kh_fail_errno(err, "cannot enter the sandbox's pid namespace");
    r = scratch(task->plan, task->plan->mount_point, err);
    proc = r < 0 ? r : kh_procfs_new(err);
    if (proc >= 0)
        r = put_in(proc, "proc", err);
    if (r == 0)
        r = kh_procfs_mask(task->plan, proc, err);
    if (r < 0)
        return r;
    tree =
        open_tree(AT_FDCWD, "proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return kh_fail_errno(err, "cannot clone the finished /proc");
    if (setns(task->pidfd, CLONE_NEWNS) < 0)
        return kh_fail_errno(err, "cannot enter the sandbox's mount namespace");
    root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || umount2("/proc", MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        return kh_fail_errno(err, "cannot take the plain /proc away");
    target = kh_sys_open_in(root, "proc", O_PATH | O_DIRECTORY);
    return target < 0 ? kh_fail_errno(err, "cannot open '/proc' inside")
                      : kh_mount_onto(tree, target, "proc", err);
}

int
kh_rootfs_replace_proc(const struct kh_plan *plan, pid_t pid, int pidfd,
                       struct kh_error *err)
{
    struct task task = {plan, pid, pidfd};

    return kh_helper_run(replace_proc, &task, "build /proc", err);
}
