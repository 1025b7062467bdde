#include "sandbox/archive/pack_own.h"

#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"
#include "sandbox/host/sys.h"

static int
by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
read_names(int dir, struct kh_pack_level *level, struct kh_error *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    size_t size = 0;

    if (!list)
        return kh_fail_errno(err, "cannot list a directory");
    for (errno = 0; (entry = readdir(list)); errno = 0) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (level->count == size) {
            size = size ? 2 * size : 16;
            level->name = kh_xrealloc(level->name, size * sizeof(*level->name));
        }
        level->name[level->count++] = kh_xstrdup(entry->d_name);
    }
    if (errno) {
        kh_fail_errno(err, "cannot list a directory");
        closedir(list);
        return -EIO;
    }
    closedir(list);
    if (level->count)
        qsort(level->name, level->count, sizeof(*level->name), by_bytes);
    return 0;
}

/* Goes into NAME of the innermost directory; DIR is open, and taken. */
static int
enter(struct kh_packer *p, int dir, const char *name, const struct stat *st,
      struct kh_error *err)
{
    int r = kh_pack_head(p, KH_ARCHIVE_DIRECTORY, name, err);

    if (r == 0 && p->depth == KH_ARCHIVE_DEPTH_MAX)
        r = kh_pack_refuse(err, name, "it is too deep");
    if (r == 0)
        r = kh_pack_attributes(p, st, name, err);
    if (r == 0)
        r = kh_pack_xattrs(p, dir, name, err);
    if (r < 0) {
        close(dir);
        return r;
    }
    p->level = kh_xrealloc(p->level, (p->depth + 1) * sizeof(*p->level));
    p->level[p->depth] = (struct kh_pack_level){.count = 0};
    if (p->dir >= 0)
        close(p->dir);
    p->dir = dir;
    return read_names(dir, &p->level[p->depth++], err);
}

static void
level_release(struct kh_pack_level *level)
{
    while (level->count)
        free(level->name[--level->count]);
    free(level->name);
}

/* Nobody moves directories of a read-only snapshot: ".." is where we came from. */
static int
leave(struct kh_packer *p, struct kh_error *err)
{
    int up = -1;

    level_release(&p->level[--p->depth]);
    if (p->depth) {
        up = openat(p->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (up < 0)
            return kh_fail_errno(err, "cannot go back to a directory");
    }
    close(p->dir);
    p->dir = up;
    return kh_pack_number(p, KH_ARCHIVE_END, 1, err);
}

static int
put_entry(struct kh_packer *p, const char *name, struct kh_error *err)
{
    struct stat st;
    int dir;

    if (fstatat(p->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return kh_pack_fail(err, "look at", name);
    switch (st.st_mode & S_IFMT) {
    case S_IFDIR:
        dir = kh_sys_open_in(p->dir, name, O_RDONLY | O_DIRECTORY);
        return dir < 0 ? kh_pack_fail(err, "open", name)
                       : enter(p, dir, name, &st, err);
    case S_IFREG:
        return kh_pack_file(p, name, &st, err);
    case S_IFLNK:
        return kh_pack_link(p, name, &st, err);
    case S_IFIFO:
        return kh_pack_node(p, name, &st, KH_ARCHIVE_FIFO, err);
    case S_IFSOCK:
        return kh_pack_node(p, name, &st, KH_ARCHIVE_SOCKET, err);
    case S_IFCHR:
        if (st.st_rdev == makedev(0, 0))
            return kh_pack_node(p, name, &st, KH_ARCHIVE_WHITEOUT, err);
        return kh_pack_refuse(err, name, "it is a device");
    default:
        return kh_pack_refuse(err, name, "it is a device");
    }
}

static int
put_info(struct kh_packer *p, const struct kh_archive_info *info, struct kh_error *err)
{
    int r = kh_pack_text(p, info->name, err);

    if (r == 0)
        r = kh_pack_text(p, info->sandbox, err);
    if (r == 0)
        r = kh_pack_text(p, info->image, err);
    if (r == 0)
        r = kh_pack_text(p, info->image_id, err);
    return r < 0 ? r : kh_pack_number(p, info->created, 8, err);
}

static int
pack(struct kh_packer *p, int top, const struct kh_archive_info *info,
     struct kh_error *err)
{
    int r = put_info(p, info, err);
    int dir = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (dir < 0 || fstat(dir, &st) < 0)
        return kh_fail_errno(err, "cannot open the snapshot");
    if (r < 0) {
        close(dir);
        return r;
    }
    r = enter(p, dir, "", &st, err);
    while (r == 0 && p->depth) {
        struct kh_pack_level *level = &p->level[p->depth - 1];

        r = level->at < level->count ? put_entry(p, level->name[level->at++], err)
                                     : leave(p, err);
    }
    return r;
}

int
kh_pack(int top, const struct kh_archive_info *info,
        int (*put)(void *arg, const void *data, size_t size, struct kh_error *err),
        void *arg,
        int (*go_on)(const struct kh_pack_tally *tally, struct kh_error *err),
        struct kh_pack_tally *ret_tally, struct kh_error *err)
{
    struct kh_packer *p = kh_xcalloc(1, sizeof(*p));
    int r;

    p->put = put;
    p->arg = arg;
    p->go_on = go_on;
    p->dir = -1;
    p->list = kh_xcalloc(1, KH_ARCHIVE_XATTR_MAX);
    p->value = kh_xcalloc(1, KH_ARCHIVE_XATTR_MAX);
    r = pack(p, top, info, err);
    *ret_tally = p->tally;
    while (p->depth)
        level_release(&p->level[--p->depth]);
    if (p->dir >= 0)
        close(p->dir);
    tdestroy(p->same, free);
    free(p->level);
    free(p->list);
    free(p->value);
    free(p);
    return r;
}
