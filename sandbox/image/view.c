#include "sandbox/image/view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clean.h"
#include "sandbox/image/below.h"

#define LINKS_MAX 40

bool
kh_view_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool
is_opaque(const struct kh_view *view, int dir)
{
    char value[4];

    return fgetxattr(dir, view->opaque, value, sizeof(value)) > 0;
}

/* 0 when LAYER leaves what the layers below have at PATH visible; else why not. */
static int
hides(const struct kh_view *view, int layer, const char *path)
{
    char prefix[KH_PATH_MAX + 1];
    const char *end = path;

    while (*(end += strcspn(end, "/"))) {
        AUTO_FD int dir = -1;
        struct stat st;

        snprintf(prefix, sizeof(prefix), "%.*s", (int)(end - path), path);
        end++;
        dir = kh_below_open(layer, prefix, O_PATH | O_NOFOLLOW);
        if (dir < 0 && errno == ENOENT)
            return 0;
        if (dir < 0 || fstat(dir, &st) < 0)
            return -errno;
        if (kh_view_whiteout(&st))
            return -ENOENT;
        if (S_ISLNK(st.st_mode))
            return -ELOOP;
        if (!S_ISDIR(st.st_mode))
            return -ENOTDIR;
        kh_clean_fd(&dir);
        dir = kh_below_open(layer, prefix, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (dir < 0)
            return -errno;
        if (is_opaque(view, dir))
            return -ENOENT;
    }
    return 0;
}

int
kh_view_open(const struct kh_view *view, const char *path, struct stat *ret_stat)
{
    int i, r;

    for (i = 0; i < view->layers; i++) {
        AUTO_FD int fd = kh_below_open(view->layer[i], path, O_PATH | O_NOFOLLOW);

        if (fd >= 0) {
            if (fstat(fd, ret_stat) < 0)
                return -errno;
            return kh_view_whiteout(ret_stat) ? -ENOENT : STEAL_FD(fd);
        }
        r = hides(view, view->layer[i], path);
        if (r < 0)
            return r;
    }
    return -ENOENT;
}

/* Takes the first component off REST and puts it behind DONE. */
static void
step(char done[KH_PATH_MAX + 1], char rest[KH_PATH_MAX + 1])
{
    size_t length = strcspn(rest, "/"), used = strlen(done);
    char *slash;

    if (length == 2 && !strncmp(rest, "..", 2)) {
        slash = strrchr(done, '/');
        *(slash ? slash : done) = '\0';
    } else if (length && !(length == 1 && *rest == '.') &&
               used + length + 1 <= KH_PATH_MAX) {
        snprintf(done + used, KH_PATH_MAX + 1 - used, "%s%.*s", used ? "/" : "",
                 (int)length, rest);
    }
    length += rest[length] == '/';
    memmove(rest, rest + length, strlen(rest + length) + 1);
}

/* DONE is the link FD: what it says goes in front of REST. */
static int
follow(int fd, char done[KH_PATH_MAX + 1], char rest[KH_PATH_MAX + 1])
{
    char target[KH_PATH_MAX + 1], more[2 * KH_PATH_MAX + 2], *slash;
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);

    if (n < 0)
        return -errno;
    target[n] = '\0';
    slash = *target == '/' ? NULL : strrchr(done, '/');
    *(slash ? slash : done) = '\0';
    snprintf(more, sizeof(more), "%s/%s", target, rest);
    if (strlen(more) > KH_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(rest, more, strlen(more) + 1);
    return 0;
}

int
kh_view_find(const struct kh_view *view, const char *path,
             char ret_path[KH_PATH_MAX + 1], struct stat *ret_stat)
{
    char done[KH_PATH_MAX + 1] = "", rest[KH_PATH_MAX + 1];
    int links = 0, fd = -ENOENT, r;

    snprintf(rest, sizeof(rest), "%s", path);
    while (*rest) {
        step(done, rest);
        if (fd >= 0)
            close(fd);
        fd = kh_view_open(view, *done ? done : ".", ret_stat);
        if (fd < 0)
            return fd;
        if (!S_ISLNK(ret_stat->st_mode))
            continue;
        r = links++ == LINKS_MAX ? -ELOOP : follow(fd, done, rest);
        if (r < 0) {
            close(fd);
            return r;
        }
    }
    snprintf(ret_path, KH_PATH_MAX + 1, "%s", *done ? done : ".");
    return fd;
}
