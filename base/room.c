#include "base/room.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"

#define MIB       (1024ull * 1024)
#define TEXT_MAX  65536
#define FALLBACK  32768 /* tasks, where the kernel does not tell its limits */
#define AT_LEAST  (512 * MIB)
#define SHARE     20 /* a twentieth is 5 % */
#define AT_MOST   4  /* a quarter */
#define LOAD_TASK "%*s %*s %*s %*u/%llu"

uint64_t
kh_room_meminfo(const char *text, const char *key)
{
    const char *at = text;
    size_t length = strlen(key);

    while (at && strncmp(at, key, length) != 0) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    return at ? strtoull(at + length, NULL, 10) * 1024 : 0;
}

uint64_t
kh_room_reserve(uint64_t memory_total)
{
    uint64_t reserve = memory_total / SHARE;

    if (reserve < AT_LEAST)
        reserve = AT_LEAST;
    return reserve < memory_total / AT_MOST ? reserve : memory_total / AT_MOST;
}

static uint64_t
number_in(const char *path)
{
    AUTO_FREE char *text = NULL;

    if (kh_fd_read_file(AT_FDCWD, path, TEXT_MAX, &text, NULL, NULL) < 0)
        return FALLBACK;
    return strtoull(text, NULL, 10);
}

int
kh_room_read(struct kh_room *ret_room, struct kh_error *err)
{
    AUTO_FREE char *memory = NULL;
    AUTO_FREE char *load = NULL;
    uint64_t pids = number_in("/proc/sys/kernel/pid_max");
    uint64_t threads = number_in("/proc/sys/kernel/threads-max");
    unsigned long long tasks = 0;
    int r = kh_fd_read_file(AT_FDCWD, "/proc/meminfo", TEXT_MAX, &memory, NULL, err);

    if (r == 0)
        r = kh_fd_read_file(AT_FDCWD, "/proc/loadavg", TEXT_MAX, &load, NULL, err);
    if (r < 0)
        return r;
    (void)sscanf(load, LOAD_TASK, &tasks);
    ret_room->memory_total = kh_room_meminfo(memory, "MemTotal:");
    ret_room->memory_available = kh_room_meminfo(memory, "MemAvailable:");
    ret_room->tasks = tasks;
    ret_room->tasks_max = pids < threads ? pids : threads;
    return 0;
}

/* The lowest free number: as many are in use below it. */
void
kh_room_descriptors(unsigned *ret_used, unsigned *ret_max)
{
    AUTO_FD int lowest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    *ret_max = limit.rlim_cur > 1u << 30 ? 1u << 30 : (unsigned)limit.rlim_cur;
    *ret_used = lowest < 0 ? *ret_max : (unsigned)lowest;
}

int
kh_room_disk(int dir, struct kh_room_disk *ret_disk, struct kh_error *err)
{
    struct statvfs fs;

    if (fstatvfs(dir, &fs) < 0)
        return kh_fail_errno(err, "cannot read how full the disk is");
    ret_disk->bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    ret_disk->bytes_total = (uint64_t)fs.f_blocks * fs.f_frsize;
    ret_disk->inodes = fs.f_favail;
    ret_disk->inodes_total = fs.f_files;
    return 0;
}
