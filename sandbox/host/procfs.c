#include "sandbox/host/procfs.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "sandbox/host/mounts.h"
#include "sandbox/host/sys.h"

/* What stands in place of a path below /proc. Missing paths are skipped: which
 * of them exist depends on the kernel's configuration. */
enum cover {
    COVER_EMPTY, /* an empty file or directory */
    COVER_SELF,  /* itself, read-only */
    COVER_FACT,  /* a file made from the plan */
};

static const struct mask {
    const char *path;
    enum cover cover;
    const char *fact;
} masks[] = {
    {"sys", COVER_SELF, NULL},
    {"sys/kernel/random/boot_id", COVER_FACT, "boot_id"},
    {"cpuinfo", COVER_FACT, "cpuinfo"},
    {"stat", COVER_FACT, "stat"},
    {"meminfo", COVER_FACT, "meminfo"},
    {"loadavg", COVER_FACT, "loadavg"},
    {"acpi", COVER_EMPTY, NULL},
    {"allocinfo", COVER_EMPTY, NULL},
    {"asound", COVER_EMPTY, NULL},
    {"bootconfig", COVER_EMPTY, NULL},
    {"buddyinfo", COVER_EMPTY, NULL},
    {"bus", COVER_EMPTY, NULL},
    {"cgroups", COVER_EMPTY, NULL},
    {"cmdline", COVER_EMPTY, NULL},
    {"config.gz", COVER_EMPTY, NULL},
    {"consoles", COVER_EMPTY, NULL},
    {"crypto", COVER_EMPTY, NULL},
    {"device-tree", COVER_EMPTY, NULL},
    {"devices", COVER_EMPTY, NULL},
    {"diskstats", COVER_EMPTY, NULL},
    {"dma", COVER_EMPTY, NULL},
    {"driver", COVER_EMPTY, NULL},
    {"dynamic_debug", COVER_EMPTY, NULL},
    {"execdomains", COVER_EMPTY, NULL},
    {"fb", COVER_EMPTY, NULL},
    {"fs", COVER_EMPTY, NULL},
    {"interrupts", COVER_EMPTY, NULL},
    {"iomem", COVER_EMPTY, NULL},
    {"ioports", COVER_EMPTY, NULL},
    {"irq", COVER_EMPTY, NULL},
    {"kallsyms", COVER_EMPTY, NULL},
    {"kcore", COVER_EMPTY, NULL},
    {"key-users", COVER_EMPTY, NULL},
    {"keys", COVER_EMPTY, NULL},
    {"kmsg", COVER_EMPTY, NULL},
    {"kpagecgroup", COVER_EMPTY, NULL},
    {"kpagecount", COVER_EMPTY, NULL},
    {"kpageflags", COVER_EMPTY, NULL},
    {"latency_stats", COVER_EMPTY, NULL},
    {"locks", COVER_EMPTY, NULL},
    {"mdstat", COVER_EMPTY, NULL},
    {"misc", COVER_EMPTY, NULL},
    {"modules", COVER_EMPTY, NULL},
    {"mtd", COVER_EMPTY, NULL},
    {"mtrr", COVER_EMPTY, NULL},
    {"pagetypeinfo", COVER_EMPTY, NULL},
    {"partitions", COVER_EMPTY, NULL},
    {"pressure", COVER_EMPTY, NULL},
    {"sched_debug", COVER_EMPTY, NULL},
    {"schedstat", COVER_EMPTY, NULL},
    {"scsi", COVER_EMPTY, NULL},
    {"slabinfo", COVER_EMPTY, NULL},
    {"softirqs", COVER_EMPTY, NULL},
    {"swaps", COVER_EMPTY, NULL},
    {"sysrq-trigger", COVER_EMPTY, NULL},
    {"timer_list", COVER_EMPTY, NULL},
    {"timer_stats", COVER_EMPTY, NULL},
    {"tty", COVER_EMPTY, NULL},
    {"vmallocinfo", COVER_EMPTY, NULL},
    {"vmstat", COVER_EMPTY, NULL},
    {"zoneinfo", COVER_EMPTY, NULL},
};

static const struct {
    const char *name;
    unsigned minor_number;
    unsigned major_number;
} devices[] = {
    {"null", 3, 1},   {"zero", 5, 1},    {"full", 7, 1},
    {"random", 8, 1}, {"urandom", 9, 1}, {"tty", 0, 5},
};

static const struct {
    const char *name;
    const char *target;
} links[] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
    {"ptmx", "pts/ptmx"},
};

static int
new_proc(struct kh_error *err)
{
    static const struct kh_mount_option options[] = {{"source", "proc"}, {NULL, NULL}};

    return kh_mount_new("proc", options,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
}

int
kh_procfs_self(struct kh_error *err)
{
    static const struct kh_mount_option options[] = {
        {"source", "proc"}, {"hidepid", "ptraceable"}, {"subset", "pid"}, {NULL, NULL}};

    return kh_mount_new("proc", options,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
}

/* procfs shows the pid namespace of the process that makes it, so a child born
 * inside makes it and sends the descriptor out. */
int
kh_procfs_new(struct kh_error *err)
{
    struct kh_error inner = {0};
    int pair[2], proc = -1, status;
    ssize_t n;
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return kh_fail_errno(err, "cannot make a socket pair");
    child = fork();
    if (child == 0) {
        proc = new_proc(&inner);
        _exit(kh_fd_send(pair[1], &inner, sizeof(inner), proc) < 0);
    }
    close(pair[1]);
    n = child < 0 ? -errno : kh_fd_recv(pair[0], &inner, sizeof(inner), &proc);
    close(pair[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (n == sizeof(inner) && proc >= 0)
        return proc;
    if (n == sizeof(inner) && err) {
        *err = inner;
        return -inner.code;
    }
    return kh_fail(err, EIO, "cannot mount /proc inside the sandbox");
}

static int
put_file(int dir, const char *name, const char *text, struct kh_error *err)
{
    AUTO_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    int r;

    if (fd < 0)
        return kh_fail_errno(err, "cannot create fact '%s'", name);
    r = kh_fd_write_full(fd, text, strlen(text));
    return r < 0 ? kh_fail(err, -r, "cannot write fact '%s'", name) : 0;
}

/* A tmpfs that holds what covers things: the facts, and two empty ones. */
static int
make_facts(const struct kh_plan *plan, struct kh_error *err)
{
    static const struct kh_mount_option options[] = {
        {"source", "tmpfs"}, {"mode", "0755"}, {"size", "4m"}, {NULL, NULL}};
    const struct {
        const char *name;
        const char *text;
    } files[] = {
        {"boot_id", plan->boot_id},
        {"cpuinfo", plan->cpuinfo},
        {"stat", plan->stat},
        {"meminfo", plan->meminfo},
        {"empty", ""},
        {"loadavg", "0.00 0.00 0.00 1/1 1\n"},
    };
    AUTO_FD int facts =
        kh_mount_new("tmpfs", options,
                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
    size_t i;
    int r;

    if (facts < 0)
        return facts;
    for (i = 0; i < KH_COUNT(files); i++) {
        r = put_file(facts, files[i].name, files[i].text, err);
        if (r < 0)
            return r;
    }
    if (mkdirat(facts, "emptydir", 0555) < 0 || mkdir("facts", 0700) < 0 ||
        move_mount(facts, "", AT_FDCWD, "facts", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return kh_fail_errno(err, "cannot attach the facts");
    return STEAL_FD(facts);
}

/* The paths are ours and the filesystem is the kernel's: they need no guarding. */
static int
cover(const struct mask *mask, int proc, int facts, struct kh_error *err)
{
    AUTO_FD int view = -1;
    struct stat st;
    const char *fact = mask->fact;

    if (fstatat(proc, mask->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT
                   ? 0
                   : kh_fail_errno(err, "cannot find '/proc/%s'", mask->path);
    if (mask->cover == COVER_SELF) {
        AUTO_FD int target = openat(proc, mask->path, O_PATH | O_CLOEXEC | O_NOFOLLOW);

        return target < 0 ? kh_fail_errno(err, "cannot open '/proc/%s'", mask->path)
                          : kh_mount_view(target, target, mask->path, err);
    }
    if (mask->cover == COVER_EMPTY)
        fact = S_ISDIR(st.st_mode) ? "emptydir" : "empty";
    view = open_tree(facts, fact, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (view < 0 || move_mount(view, "", proc, mask->path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return kh_fail_errno(err, "cannot cover '/proc/%s'", mask->path);
    return 0;
}

int
kh_procfs_mask(const struct kh_plan *plan, int proc, struct kh_error *err)
{
    AUTO_FD int facts = make_facts(plan, err);
    size_t i;
    int r;

    if (facts < 0)
        return facts;
    r = kh_mount_seal(facts, err); /* and so every view of it */
    for (i = 0; r == 0 && i < KH_COUNT(masks); i++)
        r = cover(&masks[i], proc, facts, err);
    return r;
}

int
kh_devfs_new(uint32_t first, struct kh_error *err)
{
    char owner[16];
    const struct kh_mount_option options[] = {
        {"source", "dev"}, {"mode", "0755"}, {"size", "64k"}, {"nr_inodes", "64"},
        {"uid", owner},    {"gid", owner},   {NULL, NULL}};

    snprintf(owner, sizeof(owner), "%u", first);
    return kh_mount_new("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
}

static int
add_mount(int dev, const char *type, const char *name,
          const struct kh_mount_option *options, unsigned attributes,
          struct kh_error *err)
{
    AUTO_FD int mount = kh_mount_new(type, options, attributes, err);
    AUTO_FD int target = -1;

    if (mount < 0)
        return mount;
    if (mkdirat(dev, name, 0755) < 0)
        return kh_fail_errno(err, "cannot create '/dev/%s'", name);
    target = kh_sys_open_in(dev, name, O_PATH | O_DIRECTORY);
    if (target < 0)
        return kh_fail_errno(err, "cannot open '/dev/%s'", name);
    return kh_mount_onto(mount, target, name, err);
}

static int
add_devpts(uint32_t first, int dev, struct kh_error *err)
{
    char gid[16];
    const struct kh_mount_option options[] = {
        {"source", "devpts"}, {"newinstance", NULL}, {"ptmxmode", "0666"},
        {"mode", "0620"},     {"gid", gid},          {"max", "256"},
        {NULL, NULL}};

    snprintf(gid, sizeof(gid), "%u", first + 5); /* group tty */
    return add_mount(dev, "devpts", "pts", options,
                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
}

static int
add_shm(uint32_t first, uint64_t memory, int dev, struct kh_error *err)
{
    char owner[16], size[24];
    const struct kh_mount_option options[] = {{"source", "shm"}, {"mode", "1777"},
                                              {"size", size},    {"uid", owner},
                                              {"gid", owner},    {NULL, NULL}};

    snprintf(owner, sizeof(owner), "%u", first);
    snprintf(size, sizeof(size), "%" PRIu64, memory / 2);
    return add_mount(dev, "tmpfs", "shm", options,
                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
}

int
kh_devfs_fill(uint32_t first, uint64_t memory, int dev, struct kh_error *err)
{
    size_t i;
    int r;

    for (i = 0; i < KH_COUNT(devices); i++)
        if (mknodat(dev, devices[i].name, S_IFCHR | 0666,
                    makedev(devices[i].major_number, devices[i].minor_number)) < 0)
            return kh_fail_errno(err, "cannot create '/dev/%s'", devices[i].name);
    for (i = 0; i < KH_COUNT(links); i++)
        if (symlinkat(links[i].target, dev, links[i].name) < 0)
            return kh_fail_errno(err, "cannot create '/dev/%s'", links[i].name);
    if (!memory) /* CRIU brings them */
        return mkdirat(dev, "pts", 0755) < 0 || mkdirat(dev, "shm", 0755) < 0
                   ? kh_fail_errno(err, "cannot make directories in '/dev'")
                   : kh_mount_seal(dev, err);
    r = add_devpts(first, dev, err);
    if (r == 0)
        r = add_shm(first, memory, dev, err);
    return r < 0 ? r : kh_mount_seal(dev, err);
}
