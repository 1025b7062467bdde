#include "sandbox/host/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"

#define DEPTH_MAX 16
#define FILE_MAX  (256u * 1024 * 1024)

static DIR *
open_list(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);

    if (!list && fd >= 0)
        close(fd);
    return list;
}

static bool
is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Empties DIR/NAME one level deep; what is a filled directory itself moves up to
 * DIR under a fresh name. */
static int
flatten(int dir, const char *name, unsigned long *counter, struct kh_error *err)
{
    DIR *list = open_list(dir, name);
    struct dirent *entry;
    int r = 0;

    if (!list)
        return kh_fail_errno(err, "cannot open a directory to remove it");
    while (r == 0 && (entry = readdir(list))) {
        char fresh[40];

        if (is_dots(entry->d_name))
            continue;
        if (unlinkat(dirfd(list), entry->d_name, 0) == 0 ||
            unlinkat(dirfd(list), entry->d_name, AT_REMOVEDIR) == 0)
            continue;
        snprintf(fresh, sizeof(fresh), "kh-trash-%lu", (*counter)++);
        /* Renaming a directory that its owner made unwritable needs the bit:
         * the ".." inside changes. Root passes. */
        if (renameat(dirfd(list), entry->d_name, dir, fresh) < 0)
            r = kh_fail_errno(err, "cannot move a directory to remove it");
    }
    closedir(list);
    if (r == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0)
        r = kh_fail_errno(err, "cannot remove a directory");
    return r;
}

int
kh_tree_empty(int dir, struct kh_error *err)
{
    unsigned long counter = 0;
    bool again = true;
    int r = 0;

    while (r == 0 && again) {
        DIR *list = open_list(dir, ".");
        struct dirent *entry;

        if (!list)
            return kh_fail_errno(err, "cannot open a directory to empty it");
        again = false;
        while (r == 0 && (entry = readdir(list))) {
            if (is_dots(entry->d_name) || unlinkat(dir, entry->d_name, 0) == 0)
                continue;
            r = flatten(dir, entry->d_name, &counter, err);
            again = true;
        }
        closedir(list);
    }
    return r;
}

static int
copy_file(int from, int to, const char *name, mode_t mode, struct kh_error *err)
{
    AUTO_FREE char *data = NULL;
    AUTO_FD int fd = -1;
    size_t size;
    int r = kh_fd_read_file(from, name, FILE_MAX, &data, &size, err);

    if (r < 0)
        return r;
    fd = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return kh_fail_errno(err, "cannot create '%s'", name);
    r = kh_fd_write_full(fd, data, size);
    if (r == 0 && (fchmod(fd, mode & 0100 ? 0755 : 0644) < 0 || fsync(fd) < 0))
        r = -errno;
    return r < 0 ? kh_fail(err, -r, "cannot write '%s'", name) : 0;
}

static uint64_t
mix(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *p = data;

    while (size--)
        hash = (hash ^ *p++) * 0x100000001b3ull;
    return hash;
}

static int
hash_file(int from, const char *name, uint64_t *hash, struct kh_error *err)
{
    AUTO_FREE char *data = NULL;
    size_t size;
    int r = kh_fd_read_file(from, name, FILE_MAX, &data, &size, err);

    if (r == 0)
        *hash = mix(*hash, data, size);
    return r;
}

/* Walks FROM in the order of names; copies into TO when that is not -1, and
 * mixes into *HASH when that is not NULL. */
static int /* NOLINTNEXTLINE(misc-no-recursion): DEPTH_MAX */
walk(int from, int to, uint64_t *hash, int depth, struct kh_error *err)
{
    struct dirent **names = NULL;
    int count = scandirat(from, ".", &names, NULL, alphasort), i, r = 0;

    if (count < 0)
        return kh_fail_errno(err, "cannot list a directory");
    for (i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        struct stat st;

        if (r < 0 || is_dots(name)) {
            free(names[i]);
            continue;
        }
        if (hash)
            *hash = mix(*hash, name, strlen(name) + 1);
        if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            r = kh_fail_errno(err, "cannot inspect '%s'", name);
        else if (S_ISREG(st.st_mode))
            r = to >= 0 ? copy_file(from, to, name, st.st_mode, err)
                        : hash_file(from, name, hash, err);
        else if (!S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
            r = kh_fail(err, EINVAL, "'%s' is neither file nor directory", name);
        else {
            AUTO_FD int sub = openat(from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            AUTO_FD int out = -1;

            if (to >= 0 && mkdirat(to, name, 0755) == 0)
                out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
            r = sub < 0 || (to >= 0 && out < 0)
                    ? kh_fail_errno(err, "cannot open '%s'", name)
                    : walk(sub, out, hash, depth + 1, err);
        }
        free(names[i]);
    }
    free(names);
    return r;
}

int
kh_tree_copy(int from, int to, struct kh_error *err)
{
    return walk(from, to, NULL, 0, err);
}

int
kh_tree_hash(int dir, uint64_t *ret_hash, struct kh_error *err)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    int r = walk(dir, -1, &hash, 0, err);

    if (r == 0)
        *ret_hash = hash;
    return r;
}
