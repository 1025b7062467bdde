#include "sandbox/host/tune.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/clean.h"
#include "base/fd.h"
#include "base/log.h"

static const struct {
    const char *path;
    uint64_t least;
} numbers[] = {
    {"/proc/sys/fs/inotify/max_user_instances", 1u << 17},
    {"/proc/sys/fs/inotify/max_user_watches", 1u << 24},
};

static void
raise_number(const char *path, uint64_t least)
{
    AUTO_FREE char *text = NULL;
    AUTO_FD int fd = -1;
    char wanted[24];
    uint64_t now;

    if (kh_fd_read_file(AT_FDCWD, path, 64, &text, NULL, NULL) < 0)
        return;
    now = strtoull(text, NULL, 10);
    if (now >= least)
        return;
    snprintf(wanted, sizeof(wanted), "%" PRIu64, least);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, wanted, strlen(wanted)) < 0)
        kh_log(KH_LOG_WARN,
               "cannot raise '%s' (hint: sandboxes of one image share %" PRIu64 ")",
               path, now);
    else
        kh_log(KH_LOG_INFO, "raised %s from=%" PRIu64 " to=%s", path, now, wanted);
}

/* A change of the options names all of them: the others stay as they are. */
static void
favor_moves(void)
{
    static const char *const others[] = {
        "nsdelegate", "memory_localevents", "memory_recursiveprot",
        "memory_hugetlb_accounting", "pids_localevents"};
    char point[KH_CGROUP_PATH_SIZE], ignored[KH_CGROUP_PATH_SIZE];
    AUTO_FREE char *mounts = NULL;
    AUTO_FD int fs = -1;
    size_t i;

    if (kh_fd_read_file(AT_FDCWD, "/proc/self/mountinfo", KH_CGROUP_TEXT_MAX, &mounts,
                        NULL, NULL) < 0 ||
        !kh_cgroup_mount(mounts, "cgroup2", NULL, point) ||
        kh_cgroup_mount(mounts, "cgroup2", "favordynmods", ignored))
        return;
    fs = fspick(AT_FDCWD, point, FSPICK_CLOEXEC);
    if (fs < 0)
        return;
    for (i = 0; i < KH_COUNT(others); i++)
        if (kh_cgroup_mount(mounts, "cgroup2", others[i], ignored) &&
            fsconfig(fs, FSCONFIG_SET_FLAG, others[i], NULL, 0) < 0)
            return;
    if (fsconfig(fs, FSCONFIG_SET_FLAG, "favordynmods", NULL, 0) == 0 &&
        fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) == 0)
        kh_log(KH_LOG_INFO, "set favordynmods on '%s'", point);
}

void
kh_tune_host(void)
{
    size_t i;

    favor_moves();
    for (i = 0; i < KH_COUNT(numbers); i++)
        raise_number(numbers[i].path, numbers[i].least);
}
