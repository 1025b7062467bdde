#include "sandbox/image/unpack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/clean.h"
#include "sandbox/image/below.h"

int
kh_unpack_hide_below(int dir)
{
    return fsetxattr(dir, KH_IMPORT_OPAQUE, "y", 1, 0);
}

int
kh_unpack_keep_time(int dir, const struct stat *st, struct kh_error *err)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};

    return futimens(dir, times) < 0
               ? kh_fail_errno(err, "cannot set a directory's time")
               : 0;
}

/* A directory of the layers below comes up as it is there: were it made anew,
 * overlayfs would show the new owner and mode. */
static int
make_like_below(struct kh_unpack *unpack, int at, const char *name, const char *whole,
                struct kh_error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    struct stat st = {.st_mode = S_IFDIR | 0755};
    int fd = kh_view_open(unpack->below, whole, &st);
    char shown[KH_PATH_SHOWN];

    if (fd >= 0)
        close(fd);
    if (fd == -ELOOP || (fd >= 0 && S_ISLNK(st.st_mode)))
        return kh_fail(err, ELOOP,
                       "an entry lies below '%s', which is a link in a layer below "
                       "(hint: flatten the image: docker export)",
                       kh_path_show(whole, shown));
    if (fd < 0 || !S_ISDIR(st.st_mode))
        st = (struct stat){.st_mode = S_IFDIR | 0755};
    times[1] = st.st_mtim;
    if (mkdirat(at, name, 0700) < 0 ||
        fchownat(at, name, st.st_uid, st.st_gid, 0) < 0 ||
        fchmodat(at, name, st.st_mode & 01777, 0) < 0 ||
        utimensat(at, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return kh_fail_errno(err, "cannot make the directory '%s'",
                             kh_path_show(whole, shown));
    return 0;
}

/* NAME in AT is not a directory that can be entered: makes it one, or says why not. */
static int
replace_by_way(struct kh_unpack *unpack, int at, const char *name, const char *whole,
               struct kh_error *err)
{
    char shown[KH_PATH_SHOWN];
    bool whiteout = false;
    struct stat st;
    int dir, r;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISLNK(st.st_mode))
            return kh_fail(err, ELOOP,
                           "an entry lies below the link '%s' (hint: make the archive "
                           "from a root filesystem, not by hand)",
                           kh_path_show(whole, shown));
        whiteout = kh_view_whiteout(&st);
        if (!whiteout || unlinkat(at, name, 0) < 0)
            return kh_fail(err, ENOTDIR, "an entry lies below the file '%s'",
                           kh_path_show(whole, shown));
    }
    r = make_like_below(unpack, at, name, whole, err);
    if (r < 0 || !whiteout)
        return r;
    dir = kh_below_open(at, name, O_RDONLY | O_DIRECTORY);
    r = dir < 0 || kh_unpack_hide_below(dir) < 0
            ? kh_fail_errno(err, "cannot mark '%s' opaque", kh_path_show(whole, shown))
            : 0;
    if (dir >= 0)
        close(dir);
    return r;
}

/* The same, and AT keeps its time: what is put into it is no news. */
static int
make_way(struct kh_unpack *unpack, int at, const char *name, const char *whole,
         struct kh_error *err)
{
    struct stat st;
    int r;

    if (fstat(at, &st) < 0)
        return kh_fail_errno(err, "cannot look at a directory");
    r = replace_by_way(unpack, at, name, whole, err);
    unpack->entries++;
    return r < 0 ? r : kh_unpack_keep_time(at, &st, err);
}

int
kh_unpack_directory(struct kh_unpack *unpack, const char *path, struct kh_error *err)
{
    AUTO_FD int at = kh_below_open(unpack->root, path, O_RDONLY | O_DIRECTORY);
    char whole[KH_PATH_MAX + 1], name[256], shown[KH_PATH_SHOWN];
    const char *end = path, *begin = path;

    if (at >= 0)
        return STEAL_FD(at);
    at = kh_below_open(unpack->root, ".", O_RDONLY | O_DIRECTORY);
    while (at >= 0 && *begin) {
        int next;

        end = begin + strcspn(begin, "/");
        snprintf(whole, sizeof(whole), "%.*s", (int)(end - path), path);
        snprintf(name, sizeof(name), "%.*s", (int)(end - begin), begin);
        next = kh_below_open(at, name, O_RDONLY | O_DIRECTORY);
        if (next < 0) {
            int r = make_way(unpack, at, name, whole, err);

            if (r < 0)
                return r;
            next = kh_below_open(at, name, O_RDONLY | O_DIRECTORY);
        }
        close(at);
        at = next;
        begin = end + (*end == '/');
    }
    if (at < 0)
        return kh_fail_errno(err, "cannot open the directory '%s'",
                             kh_path_show(path, shown));
    return STEAL_FD(at);
}
