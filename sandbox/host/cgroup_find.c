#include "sandbox/host/cgroup_find.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/clean.h"
#include "base/fd.h"

/* A file of the kernel as text, or NULL; the caller frees it. */
static char *
read_text(int dirfd, const char *path)
{
    char *text;

    return kh_fd_read_file(dirfd, path, KH_CGROUP_TEXT_MAX, &text, NULL, NULL) < 0
               ? NULL
               : text;
}

bool
kh_cgroup_has_controllers(int root, const char *const *names, size_t count)
{
    AUTO_FREE char *text = read_text(root, "cgroup.controllers");

    return text && kh_cgroup_has_all(text, names, count);
}

static bool
mount_point(const char *type, const char *controller, char point[KH_CGROUP_PATH_SIZE])
{
    AUTO_FREE char *text = read_text(AT_FDCWD, "/proc/self/mountinfo");

    return text && kh_cgroup_mount(text, type, controller, point);
}

static bool
own_path(const char *controller, char path[KH_CGROUP_PATH_SIZE])
{
    AUTO_FREE char *text = read_text(AT_FDCWD, "/proc/self/cgroup");

    return text && kh_cgroup_path(text, controller, path);
}

static int
open_dir(const char *path, struct kh_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? kh_fail_errno(err, "cannot open '%s'", path) : fd;
}

int
kh_cgroup_find_v2(struct kh_error *err)
{
    char path[KH_CGROUP_PATH_SIZE];

    if (!mount_point("cgroup2", NULL, path))
        return kh_fail(err, ENOENT, "no cgroup v2 hierarchy is mounted");
    return open_dir(path, err);
}

int
kh_cgroup_find_v1(const char *controller, struct kh_error *err)
{
    char point[KH_CGROUP_PATH_SIZE], own[KH_CGROUP_PATH_SIZE];
    char path[2 * KH_CGROUP_PATH_SIZE];
    int fd;

    if (!mount_point("cgroup", controller, point))
        return kh_fail(err, ENOENT,
                       "the cgroup controller '%s' is neither on v2 nor on v1 "
                       "(hint: boot with systemd.unified_cgroup_hierarchy=1, or mount "
                       "it below /sys/fs/cgroup)",
                       controller);
    if (!own_path(controller, own))
        own[0] = '\0';
    snprintf(path, sizeof(path), "%s%s", point, own);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : open_dir(point, err);
}
