#include "sandbox/host/cgroup_find.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"

#define PROC_FILE_MAX (1024u * 1024)
#define PATH_SIZE     4096

/* True when WORD stands in the list TEXT, whose words SEPARATORS part. */
static bool
has_word(const char *text, const char *separators, const char *word)
{
    size_t length = strlen(word);

    while (*text) {
        size_t n = strcspn(text, separators);

        if (n == length && !strncmp(text, word, n))
            return true;
        text += n;
        text += strspn(text, separators);
    }
    return false;
}

bool
kh_cgroup_has_controllers(int root, const char *const *names, size_t count)
{
    AUTO_FREE char *text = NULL;
    size_t i;

    if (kh_fd_read_file(root, "cgroup.controllers", PROC_FILE_MAX, &text, NULL, NULL) <
        0)
        return false;
    for (i = 0; i < count; i++)
        if (!has_word(text, " \n", names[i]))
            return false;
    return true;
}

/* Mount point of the hierarchy of filesystem TYPE whose super options have
 * CONTROLLER (NULL: any). mountinfo: "... root mountpoint opts ... - type src super".
 */
static bool
mount_point(const char *type, const char *controller, char *out, size_t size)
{
    AUTO_FREE char *text = NULL;
    char *line, *save = NULL;

    if (kh_fd_read_file(AT_FDCWD, "/proc/self/mountinfo", PROC_FILE_MAX, &text, NULL,
                        NULL) < 0)
        return false;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char point[PATH_SIZE / 2], fs[32], super[512];
        char *tail = strstr(line, " - ");

        if (!tail || sscanf(tail, " - %31s %*s %511s", fs, super) != 2 ||
            strcmp(fs, type))
            continue;
        if (controller && !has_word(super, ",", controller))
            continue;
        if (sscanf(line, "%*s %*s %*s %*s %2047s", point) != 1)
            continue;
        snprintf(out, size, "%s", point);
        return true;
    }
    return false;
}

/* This process's path in the v1 hierarchy of CONTROLLER ("7:cpu,cpuacct:/path"). */
static bool
own_path(const char *controller, char *out, size_t size)
{
    AUTO_FREE char *text = NULL;
    char *line, *save = NULL;

    if (kh_fd_read_file(AT_FDCWD, "/proc/self/cgroup", PROC_FILE_MAX, &text, NULL,
                        NULL) < 0)
        return false;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

        if (!path)
            continue;
        *path++ = '\0';
        if (!has_word(names + 1, ",", controller))
            continue;
        snprintf(out, size, "%s", path);
        return true;
    }
    return false;
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
    char path[PATH_SIZE];

    if (!mount_point("cgroup2", NULL, path, sizeof(path)))
        return kh_fail(err, ENOENT, "no cgroup v2 hierarchy is mounted");
    return open_dir(path, err);
}

int
kh_cgroup_find_v1(const char *controller, struct kh_error *err)
{
    char point[PATH_SIZE / 2], own[PATH_SIZE / 4], path[PATH_SIZE];
    int fd;

    if (!mount_point("cgroup", controller, point, sizeof(point)))
        return kh_fail(err, ENOENT,
                       "the cgroup controller '%s' is neither on v2 nor on v1 "
                       "(hint: boot with systemd.unified_cgroup_hierarchy=1, or mount "
                       "it below /sys/fs/cgroup)",
                       controller);
    if (!own_path(controller, own, sizeof(own)))
        own[0] = '\0';
    snprintf(path, sizeof(path), "%s%s", point, own);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : open_dir(point, err);
}
