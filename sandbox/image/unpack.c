#include "sandbox/image/unpack.h"

#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/clean.h"
#include "sandbox/image/below.h"

#define OWNER_MAX  65535
#define NOBODY     65534
#define XATTRS_MAX 64
#define XATTR_MAX  65536

/* One entry on its way. */
struct item {
    struct archive *tar;
    struct archive_entry *entry;
    struct kh_path path;
    int parent;
    bool hid; /* there was a whiteout: what is made hides all of the name below */
    char shown[KH_PATH_SHOWN];
};

static int
fail(struct kh_error *err, const struct item *item, const char *what)
{
    return kh_fail_errno(err, "cannot %s '%s'", what, item->shown);
}

/* ---- attributes ---- */

static uid_t
owner(struct kh_unpack *unpack, int64_t id)
{
    if (id >= 0 && id <= OWNER_MAX)
        return (uid_t)id;
    unpack->tally->owners++;
    return NOBODY;
}

static bool
keep_xattr(const char *name)
{
    return !strncmp(name, "user.", 5) && strlen(name) < 256 &&
           strncmp(name, "user.overlay.", 13) != 0 &&
           strncmp(name, "user.kernelhost.", 16) != 0;
}

static void
put_xattrs(struct kh_unpack *unpack, const struct item *item, int fd)
{
    const char *name;
    const void *value;
    size_t size;
    int kept = 0;

    archive_entry_xattr_reset(item->entry);
    while (archive_entry_xattr_next(item->entry, &name, &value, &size) == ARCHIVE_OK)
        if (!name || !keep_xattr(name) || size > XATTR_MAX || kept++ >= XATTRS_MAX ||
            fsetxattr(fd, name, value, size, 0) < 0)
            unpack->tally->xattrs++;
}

static void
read_times(const struct item *item, struct timespec times[2])
{
    times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
    times[1] = (struct timespec){.tv_sec = archive_entry_mtime(item->entry),
                                 .tv_nsec = archive_entry_mtime_nsec(item->entry)};
    if (times[1].tv_nsec < 0 || times[1].tv_nsec > 999999999)
        times[1].tv_nsec = 0;
}

/* Owner first: a change of owner clears bits of the mode. */
static int
put_attributes(struct kh_unpack *unpack, const struct item *item, int fd,
               struct kh_error *err)
{
    mode_t mode = archive_entry_mode(item->entry) & 07777;
    struct timespec times[2];

    if (mode & 06000 && archive_entry_filetype(item->entry) == AE_IFREG)
        unpack->tally->setid++;
    put_xattrs(unpack, item, fd);
    read_times(item, times);
    if (fchown(fd, owner(unpack, archive_entry_uid(item->entry)),
               owner(unpack, archive_entry_gid(item->entry))) < 0 ||
        fchmod(fd, mode & 01777) < 0 || futimens(fd, times) < 0)
        return fail(err, item, "set the attributes of");
    return 0;
}

/* ---- kinds of entries ---- */

/* The name becomes free; a later entry replaces an earlier one. Returns 1 if it is
 * a directory that a directory may stay. */
static int
make_room(struct item *item, bool directory, struct kh_error *err)
{
    struct stat st;
    int flag;

    if (fstatat(item->parent, item->path.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail(err, item, "look at");
    if (S_ISDIR(st.st_mode) && directory)
        return 1;
    item->hid = kh_view_whiteout(&st);
    flag = S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0;
    if (unlinkat(item->parent, item->path.name, flag) < 0)
        return fail(err, item, "replace the directory");
    return 0;
}

/* Blocks of data; what lies between them stays a hole. */
static int
put_data(const struct item *item, int fd, int64_t size, struct kh_error *err)
{
    const void *data;
    size_t length;
    int64_t at;
    int r;

    while ((r = archive_read_data_block(item->tar, &data, &length, &at)) ==
           ARCHIVE_OK) {
        if (at < 0 || at > size || length > (uint64_t)(size - at))
            return kh_fail(err, EBADMSG, "'%s' has bytes beyond its size", item->shown);
        while (length) {
            ssize_t n = pwrite(fd, data, length, at);

            if (n <= 0)
                return fail(err, item, "write");
            data = (const char *)data + n;
            length -= (size_t)n;
            at += n;
        }
    }
    if (r != ARCHIVE_EOF)
        return -EIO;
    return ftruncate(fd, size) < 0 ? fail(err, item, "write") : 0;
}

static int
put_file(struct kh_unpack *unpack, struct item *item, struct kh_error *err)
{
    int64_t size = archive_entry_size(item->entry);
    AUTO_FD int fd = -1;
    int r;

    if (size < 0 || (uint64_t)size > unpack->limits->bytes - unpack->tally->bytes)
        return kh_fail(err, EFBIG,
                       "the image is larger than %llu bytes (hint: --max-size)",
                       (unsigned long long)unpack->limits->bytes);
    unpack->tally->bytes += (uint64_t)size;
    r = make_room(item, false, err);
    if (r < 0)
        return r;
    fd = openat(item->parent, item->path.name,
                O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(err, item, "make");
    r = put_data(item, fd, size, err);
    return r < 0 ? r : put_attributes(unpack, item, fd, err);
}

static int
put_directory(struct kh_unpack *unpack, struct item *item, struct kh_error *err)
{
    AUTO_FD int fd = -1;
    int r = make_room(item, true, err);

    if (r < 0)
        return r;
    if (r == 0 && mkdirat(item->parent, item->path.name, 0700) < 0)
        return fail(err, item, "make the directory");
    fd = kh_below_open(item->parent, item->path.name, O_RDONLY | O_DIRECTORY);
    if (fd < 0 || (item->hid && kh_unpack_hide_below(fd) < 0))
        return fail(err, item, "open the directory");
    return put_attributes(unpack, item, fd, err);
}

static int
put_link(struct kh_unpack *unpack, struct item *item, struct kh_error *err)
{
    const char *target = archive_entry_symlink(item->entry), *name = item->path.name;
    struct timespec times[2];
    int r;

    if (!target || !*target || strlen(target) > KH_PATH_MAX)
        return kh_fail(err, EBADMSG, "the link '%s' has no target, or one too long",
                       item->shown);
    r = make_room(item, false, err);
    if (r < 0)
        return r;
    read_times(item, times);
    if (symlinkat(target, item->parent, name) < 0 ||
        fchownat(item->parent, name, owner(unpack, archive_entry_uid(item->entry)),
                 owner(unpack, archive_entry_gid(item->entry)),
                 AT_SYMLINK_NOFOLLOW) < 0 ||
        utimensat(item->parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(err, item, "make the link");
    return 0;
}

/* To a file or a link of this layer that is there already. */
static int
put_hard_link(struct kh_unpack *unpack, struct item *item, struct kh_error *err)
{
    const char *text = archive_entry_hardlink(item->entry);
    char whole[KH_PATH_MAX + 1], shown[KH_PATH_SHOWN];
    AUTO_FD int parent = -1;
    struct kh_path target;
    struct stat st, own;
    int r = kh_path_read(text, &target, err);

    if (r < 0)
        return kh_fail_in(err, "the hard link '%s'", item->shown);
    kh_path_whole(&target, whole);
    parent = kh_below_open(unpack->root, target.parent, O_RDONLY | O_DIRECTORY);
    if (target.kind != KH_PATH_PLAIN || parent < 0 ||
        fstatat(parent, target.name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !(S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)))
        return kh_fail(err, EBADMSG,
                       "the hard link '%s' is to '%s', which is no file of this layer",
                       item->shown, kh_path_show(whole, shown));
    if (fstatat(item->parent, item->path.name, &own, AT_SYMLINK_NOFOLLOW) == 0 &&
        own.st_ino == st.st_ino)
        return 0; /* to itself: making room would remove the file */
    r = make_room(item, false, err);
    if (r == 0 && linkat(parent, target.name, item->parent, item->path.name, 0) < 0)
        r = fail(err, item, "make the hard link");
    return r;
}

static int
put_whiteout(struct item *item, struct kh_error *err)
{
    AUTO_FD int dir = -1;

    if (mknodat(item->parent, item->path.name, S_IFCHR, 0) == 0)
        return 0;
    if (errno != EEXIST)
        return fail(err, item, "hide");
    /* Made by this layer: it stays, and hides what is below if it can let any
     * of it through. */
    dir = kh_below_open(item->parent, item->path.name, O_RDONLY | O_DIRECTORY);
    return dir >= 0 && kh_unpack_hide_below(dir) < 0 ? fail(err, item, "hide below")
                                                     : 0;
}

static int
put_marker(struct item *item, struct kh_error *err)
{
    if (item->path.kind == KH_PATH_AUFS)
        return 0;
    if (item->path.kind == KH_PATH_WHITEOUT)
        return put_whiteout(item, err);
    if (!strcmp(item->path.parent, "."))
        return kh_fail(err, EBADMSG,
                       "a layer hides all of the layers below it (hint: flatten the "
                       "image: docker export)");
    return kh_unpack_hide_below(item->parent) < 0 ? fail(err, item, "hide below") : 0;
}

static int
put_plain(struct kh_unpack *unpack, struct item *item, struct kh_error *err)
{
    static const struct {
        mode_t type;
        int (*put)(struct kh_unpack *, struct item *, struct kh_error *);
    } kinds[] = {{AE_IFREG, put_file}, {AE_IFDIR, put_directory}, {AE_IFLNK, put_link}};
    size_t i;

    if (archive_entry_hardlink(item->entry))
        return put_hard_link(unpack, item, err);
    for (i = 0; i < KH_COUNT(kinds); i++)
        if (archive_entry_filetype(item->entry) == kinds[i].type)
            return kinds[i].put(unpack, item, err);
    unpack->tally->devices++;
    return 0;
}

static int
put(struct kh_unpack *unpack, struct item *item, struct kh_error *err)
{
    struct stat st;
    int r;

    if (fstat(item->parent, &st) < 0)
        return fail(err, item, "look at");
    r = item->path.kind == KH_PATH_PLAIN ? put_plain(unpack, item, err)
                                         : put_marker(item, err);
    unpack->entries++;
    return r < 0 ? r : kh_unpack_keep_time(item->parent, &st, err);
}

int
kh_unpack_next(struct kh_unpack *unpack, struct archive *tar, struct kh_error *err)
{
    struct item item = {.tar = tar, .parent = -1};
    const char *name;
    int r = archive_read_next_header(tar, &item.entry);

    if (r == ARCHIVE_EOF)
        return 0;
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return -EIO;
    name = archive_entry_pathname(item.entry);
    if (!name)
        return kh_fail(err, EBADMSG, "the archive has an entry without a name");
    if (unpack->tally->entries++ >= unpack->limits->entries)
        return kh_fail(err, E2BIG,
                       "the image has more than %llu entries (hint: --max-entries)",
                       (unsigned long long)unpack->limits->entries);
    kh_path_show(name, item.shown);
    r = kh_path_read(name, &item.path, err);
    if (r == 0)
        r = unpack->progress(unpack->arg, err);
    if (r < 0 || item.path.kind == KH_PATH_ROOT)
        return r < 0 ? r : 1;
    item.parent = kh_unpack_directory(unpack, item.path.parent, err);
    r = item.parent < 0 ? item.parent : put(unpack, &item, err);
    if (item.parent >= 0)
        close(item.parent);
    return r < 0 ? r : 1;
}
