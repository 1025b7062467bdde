#include "sandbox/host/loopdev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"

#define TRIES      16 /* somebody else may take the free one first */
#define BLOCK_SIZE 4096

static int
open_device(long number, char ret_path[KH_LOOPDEV_SIZE])
{
    snprintf(ret_path, KH_LOOPDEV_SIZE, "/dev/loop%ld", number);
    return open(ret_path, O_RDWR | O_CLOEXEC);
}

static bool
is_of(int device, const struct stat *file)
{
    struct loop_info64 info = {0};

    return ioctl(device, LOOP_GET_STATUS64, &info) == 0 &&
           info.lo_device == file->st_dev && info.lo_inode == file->st_ino;
}

/* The device that FILE has already, or -1. */
static int
find(const struct stat *file, char ret_path[KH_LOOPDEV_SIZE])
{
    DIR *dir = opendir("/sys/block");
    struct dirent *entry;
    int found = -1;

    while (dir && found < 0 && (entry = readdir(dir))) {
        char *end;
        long number;

        if (strncmp(entry->d_name, "loop", 4) != 0)
            continue;
        number = strtol(entry->d_name + 4, &end, 10);
        found = *end ? -1 : open_device(number, ret_path);
        if (found >= 0 && !is_of(found, file))
            kh_fd_close(&found);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* Direct: what is read is cached above the device already. Not every filesystem can. */
static int
configure(int device, int file)
{
    struct loop_config config = {.fd = (__u32)file, .block_size = BLOCK_SIZE};

    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    if (ioctl(device, LOOP_CONFIGURE, &config) == 0)
        return 0;
    if (errno != EINVAL)
        return -errno;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    return ioctl(device, LOOP_CONFIGURE, &config) < 0 ? -errno : 0;
}

int
kh_loopdev_attach(int file, char ret_path[KH_LOOPDEV_SIZE], struct kh_error *err)
{
    AUTO_FD int control = -1, device = -1;
    struct stat st;
    int r = -EBUSY, i;

    if (fstat(file, &st) < 0)
        return kh_fail_errno(err, "cannot inspect the disk's file");
    device = find(&st, ret_path);
    if (device >= 0)
        return STEAL_FD(device);
    control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return kh_fail_errno(err, "cannot open '/dev/loop-control' (hint: modprobe "
                                  "loop)");
    for (i = 0; r == -EBUSY && i < TRIES; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);

        kh_fd_close(&device);
        device = number < 0 ? -1 : open_device(number, ret_path);
        r = device < 0 ? -errno : configure(device, file);
    }
    if (r < 0)
        return kh_fail(err, -r, "cannot attach the disk's file to a loop device: %s",
                       strerror(-r));
    return STEAL_FD(device);
}
