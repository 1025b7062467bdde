#include "sandbox/host/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/room.h"
#include "sandbox/host/loopdev.h"
#include "sandbox/host/mounts.h"
#include "sandbox/host/subvolume.h"

#define IMAGE    "disk.img"
#define FRESH    "disk.img.new"
#define DIR_NAME "disk"

#define MIB       (1024ull * 1024)
#define IMAGE_MIN (512 * MIB)
#define KEEP_MIN  (512 * MIB) /* of the state directory's disk, for everything else */
#define CLOSINGS  4           /* old accounts looked at a time */

struct kh_disk {
    int root; /* directory of the filesystem */
    char *path;
    uint64_t size;
    uint64_t *closing; /* accounts of deleted disks */
    size_t closing_count, closing_size;
};

/* As large as the disk below has room for now: it is sparse, and what fills it up
 * must not be a surprise to the rest of the state. */
static int
size_of_image(int state, uint64_t *ret_size, struct kh_error *err)
{
    struct kh_room_disk room = {0};
    uint64_t keep;
    int r = kh_room_disk(state, &room, err);

    if (r < 0)
        return r;
    keep = room.bytes / 20 > KEEP_MIN ? room.bytes / 20 : KEEP_MIN;
    if (room.bytes < keep + IMAGE_MIN)
        return kh_fail(err, ENOSPC,
                       "the state directory's disk has %" PRIu64 " MiB left",
                       (uint64_t)(room.bytes / MIB));
    *ret_size = (room.bytes - keep) / MIB * MIB;
    return 0;
}

/* Runs mkfs.btrfs, whose arguments are all our own. It says much, even quietly. */
static int
format(const char *image, struct kh_error *err)
{
    const char *const argv[] = {"mkfs.btrfs", "--quiet",    "--nodiscard", "--force",
                                "--metadata", "single",     "--data",      "single",
                                "--label",    "kernelhost", image,         NULL};
    static const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    static const char *const places[] = {"/usr/sbin/mkfs.btrfs", "/sbin/mkfs.btrfs",
                                         "/usr/bin/mkfs.btrfs"};
    int status = 0;
    pid_t pid = fork();
    sigset_t none;
    size_t i;

    if (pid == 0) {
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        (void)dup2(open("/dev/null", O_RDWR), STDERR_FILENO);
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        for (i = 0; i < KH_COUNT(places); i++)
            /* exec writes to neither; its prototype is older than const. */
            execve(places[i], (char *const *)argv, (char *const *)envp);
        _exit(127);
    }
    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return kh_fail(err, ENOENT,
                       "there is no mkfs.btrfs (hint: apt-get install "
                       "btrfs-progs)");
    return status ? kh_fail(
                        err, EIO,
                        "mkfs.btrfs failed, status 0x%x (hint: run it on a file there)",
                        status)
                  : 0;
}

/* Under another name until it is whole. */
static int
make_image(const char *state_path, int state, struct kh_error *err)
{
    AUTO_FREE char *path = kh_xasprintf("%s/" FRESH, state_path);
    AUTO_FD int image =
        openat(state, FRESH, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int flags = FS_NOCOW_FL; /* a state directory on btrfs need not copy twice */
    uint64_t size = 0;
    int r;

    if (image < 0)
        return kh_fail_errno(err, "cannot make '" FRESH "'");
    (void)ioctl(image, FS_IOC_SETFLAGS, &flags);
    r = size_of_image(state, &size, err);
    if (r == 0 && ftruncate(image, (off_t)size) < 0)
        r = kh_fail_errno(err, "cannot make '" FRESH "' as large as that");
    if (r == 0)
        r = format(path, err);
    if (r == 0 && (fsync(image) < 0 || renameat(state, FRESH, state, IMAGE) < 0 ||
                   fsync(state) < 0))
        r = kh_fail_errno(err, "cannot rename '" FRESH "'");
    if (r < 0)
        (void)unlinkat(state, FRESH, 0);
    return r < 0 ? r : STEAL_FD(image);
}

static int
open_image(const char *path, int state, struct kh_error *err)
{
    int image = openat(state, IMAGE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (image < 0 && errno == ENOENT)
        return make_image(path, state, err);
    return image < 0 ? kh_fail_errno(err, "cannot open '" IMAGE "'") : image;
}

static int
attach(struct kh_disk *disk, int state, const char *device, struct kh_error *err)
{
    const struct kh_mount_option options[] = {
        {"source", device}, {"discard", "async"}, {NULL, NULL}};
    AUTO_FD int mount =
        kh_mount_new("btrfs", options,
                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME, err);
    AUTO_FD int place = -1;
    int r;

    if (mount < 0)
        return mount;
    /* An earlier program of this process may have attached it. */
    while (umount2(disk->path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        ;
    if (mkdirat(state, DIR_NAME, 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make directory '" DIR_NAME "'");
    place = openat(state, DIR_NAME, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (place < 0)
        return kh_fail_errno(err, "cannot open directory '" DIR_NAME "'");
    r = kh_mount_onto(mount, place, DIR_NAME, err);
    if (r < 0)
        return r;
    disk->root =
        openat(state, DIR_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (disk->root < 0 || fchmod(disk->root, 0700) < 0)
        return kh_fail_errno(err, "cannot open the disk");
    return kh_subvolume_account(disk->root, err);
}

int
kh_disk_open(const char *path, int state, struct kh_disk **ret_disk,
             struct kh_error *err)
{
    AUTO_FD int image = open_image(path, state, err);
    AUTO_FD int device = -1;
    char device_path[KH_LOOPDEV_SIZE];
    struct kh_disk *disk;
    struct kh_room_disk room = {0};
    int r;

    if (image < 0)
        return image;
    device = kh_loopdev_attach(image, device_path, err);
    if (device < 0)
        return device;
    disk = kh_xcalloc(1, sizeof(*disk));
    disk->root = -1;
    disk->path = kh_xasprintf("%s/" DIR_NAME, path);
    r = attach(disk, state, device_path, err);
    if (r == 0)
        r = kh_room_disk(disk->root, &room, err);
    disk->size = room.bytes_total;
    if (r < 0) {
        kh_disk_close(disk);
        return r;
    }
    *ret_disk = disk;
    return 0;
}

void
kh_disk_close(struct kh_disk *disk)
{
    if (!disk)
        return;
    kh_fd_close(&disk->root);
    /* At once if nothing of ours is in it, so that the loop device is free, too. */
    if (umount2(disk->path, UMOUNT_NOFOLLOW) < 0)
        (void)umount2(disk->path, MNT_DETACH | UMOUNT_NOFOLLOW);
    free(disk->closing);
    free(disk->path);
    free(disk);
}

int
kh_disk_check(const struct kh_disk *disk, uint64_t *bytes, struct kh_error *err)
{
    if (!disk && *bytes)
        return kh_fail(err, EINVAL,
                       "this host cannot limit disks (hint: kernelhost doctor)");
    if (!disk)
        return 0;
    if (!*bytes)
        *bytes = KH_DISK_DEFAULT < disk->size ? KH_DISK_DEFAULT : disk->size;
    if (*bytes < KH_DISK_MIN || *bytes > disk->size)
        return kh_fail(err, EINVAL,
                       "disk limit of %" PRIu64 " bytes is out of range (hint: 16M to "
                       "%" PRIu64 "M on this host)",
                       *bytes, (uint64_t)(disk->size / MIB));
    return 0;
}

/* The kernel frees the space of what was deleted in its own time, and only then lets
 * the account go. Those that are not ready wait for another turn. */
static void
close_accounts(struct kh_disk *disk)
{
    size_t turns = disk->closing_count < CLOSINGS ? disk->closing_count : CLOSINGS;

    for (; turns > 0; turns--) {
        uint64_t number = disk->closing[0];
        int r = kh_subvolume_close_account(disk->root, number);

        memmove(disk->closing, disk->closing + 1,
                --disk->closing_count * sizeof(*disk->closing));
        if (r == -EBUSY)
            disk->closing[disk->closing_count++] = number;
    }
}

static void
note_account(struct kh_disk *disk, uint64_t number)
{
    if (disk->closing_count == disk->closing_size) {
        disk->closing_size = disk->closing_size ? 2 * disk->closing_size : 64;
        disk->closing =
            kh_xrealloc(disk->closing, disk->closing_size * sizeof(*disk->closing));
    }
    disk->closing[disk->closing_count++] = number;
}

int
kh_disk_make(struct kh_disk *disk, const char *id, struct kh_error *err)
{
    int r = kh_subvolume_make(disk->root, id, KH_DISK_DEFAULT, err);

    return r < 0 ? r : kh_disk_get(disk, id, err);
}

int
kh_disk_get(const struct kh_disk *disk, const char *id, struct kh_error *err)
{
    int fd = openat(disk->root, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? kh_fail_errno(err, "cannot open the disk of '%s'", id) : fd;
}

int
kh_disk_copy(const struct kh_disk *disk, const char *from, const char *id,
             bool readonly, struct kh_error *err)
{
    AUTO_FD int source = kh_disk_get(disk, from, err);

    return source < 0 ? source
                      : kh_subvolume_snapshot(disk->root, source, id, readonly, err);
}

int
kh_disk_keep(const struct kh_disk *disk, const char *id, struct kh_error *err)
{
    AUTO_FD int dir = kh_disk_get(disk, id, err);

    return dir < 0 ? dir : kh_subvolume_keep(dir, err);
}

int
kh_disk_limit(const struct kh_disk *disk, const char *id, uint64_t bytes,
              struct kh_error *err)
{
    AUTO_FD int dir = kh_disk_get(disk, id, err);

    return dir < 0 ? dir : kh_subvolume_limit(dir, bytes, err);
}

int
kh_disk_used(const struct kh_disk *disk, const char *id, uint64_t *ret_bytes,
             struct kh_error *err)
{
    AUTO_FD int dir = kh_disk_get(disk, id, err);

    return dir < 0 ? dir : kh_subvolume_used(dir, ret_bytes, err);
}

int
kh_disk_drop(struct kh_disk *disk, const char *id, struct kh_error *err)
{
    AUTO_FD int dir = kh_disk_get(disk, id, NULL);
    uint64_t number = 0;
    int r;

    if (dir < 0)
        return dir == -ENOENT ? 0 : kh_disk_get(disk, id, err);
    (void)kh_subvolume_number(dir, &number, NULL);
    kh_fd_close(&dir);
    r = kh_subvolume_delete(disk->root, id, err);
    if (r == 0 && number)
        note_account(disk, number);
    close_accounts(disk);
    return r;
}

void
kh_disk_sweep(struct kh_disk *disk, bool (*keep)(void *arg, const char *id), void *arg)
{
    int fd = openat(disk->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct kh_error err = {0};

    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && !keep(arg, entry->d_name) &&
            kh_disk_drop(disk, entry->d_name, &err) < 0)
            kh_log(KH_LOG_WARN, "%s", err.text);
    if (dir)
        closedir(dir);
}
