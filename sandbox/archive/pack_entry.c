/* What is in a directory, as entries. */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/archive/pack_own.h"
#include "sandbox/host/sys.h"

#define SHOWN 120

/* The number of a file that has several names. */
struct same {
    ino_t inode;
    uint32_t number;
};

int
kh_pack_fail(struct kh_error *err, const char *what, const char *name)
{
    char shown[SHOWN];
    int code = errno;

    kh_log_clean(name, strlen(name), shown, sizeof(shown));
    errno = code;
    return kh_fail_errno(err, "cannot %s '%s'", what, shown);
}

int
kh_pack_refuse(struct kh_error *err, const char *name, const char *why)
{
    char shown[SHOWN];

    return kh_fail(err, ENOTSUP, "'%s' cannot be exported: %s",
                   kh_log_clean(name, strlen(name), shown, sizeof(shown)), why);
}

/* ---- bytes ---- */

int
kh_pack_number(struct kh_packer *p, uint64_t value, size_t bytes, struct kh_error *err)
{
    uint8_t raw[8];
    size_t i;

    for (i = 0; i < bytes; i++)
        raw[i] = (uint8_t)(value >> (8 * i));
    return p->put(p->arg, raw, bytes, err);
}

int
kh_pack_text(struct kh_packer *p, const char *text, struct kh_error *err)
{
    size_t length = strlen(text);
    int r = kh_pack_number(p, length, 2, err);

    return r < 0 ? r : p->put(p->arg, text, length, err);
}

int
kh_pack_head(struct kh_packer *p, enum kh_archive_kind kind, const char *name,
             struct kh_error *err)
{
    int r = kh_pack_number(p, (uint64_t)kind, 1, err);

    p->tally.entries++;
    if (r == 0)
        r = kh_pack_text(p, name, err);
    return r < 0 ? r : p->go_on(&p->tally, err);
}

int
kh_pack_attributes(struct kh_packer *p, const struct stat *st, const char *name,
                   struct kh_error *err)
{
    int r;

    if (st->st_uid > KH_ARCHIVE_ID_MAX || st->st_gid > KH_ARCHIVE_ID_MAX)
        return kh_pack_refuse(err, name, "it belongs to nobody inside");
    r = kh_pack_number(p, st->st_mode & 07777, 4, err);
    if (r == 0)
        r = kh_pack_number(p, st->st_uid, 4, err);
    if (r == 0)
        r = kh_pack_number(p, st->st_gid, 4, err);
    if (r == 0)
        r = kh_pack_number(p, (uint64_t)st->st_mtim.tv_sec, 8, err);
    return r < 0 ? r : kh_pack_number(p, (uint64_t)st->st_mtim.tv_nsec, 4, err);
}

/* ---- extended attributes ---- */

static int
put_xattr(struct kh_packer *p, int fd, const char *xattr, const char *name,
          struct kh_error *err)
{
    ssize_t n = fgetxattr(fd, xattr, p->value, KH_ARCHIVE_XATTR_MAX);
    int r;

    if (n < 0)
        return kh_pack_fail(err, "read an attribute of", name);
    r = kh_pack_text(p, xattr, err);
    if (r == 0)
        r = kh_pack_number(p, (uint64_t)n, 4, err);
    return r < 0 ? r : p->put(p->arg, p->value, (size_t)n, err);
}

int
kh_pack_xattrs(struct kh_packer *p, int fd, const char *name, struct kh_error *err)
{
    ssize_t size = flistxattr(fd, p->list, KH_ARCHIVE_XATTR_MAX);
    const char *at, *end = p->list + size;
    uint64_t count = 0, sum = 0;
    int r;

    if (size < 0)
        return kh_pack_fail(err, "list the attributes of", name);
    for (at = p->list; at < end; at += strlen(at) + 1)
        if (kh_archive_keeps(at)) {
            ssize_t n = fgetxattr(fd, at, NULL, 0);

            count++;
            sum += n > 0 ? (uint64_t)n : 0;
        }
    if (count > KH_ARCHIVE_XATTRS_MAX || sum > KH_ARCHIVE_XATTRS_SUM)
        return kh_pack_refuse(err, name, "it has too many extended attributes");
    r = kh_pack_number(p, count, 4, err);
    for (at = p->list; r == 0 && at < end; at += strlen(at) + 1)
        if (kh_archive_keeps(at))
            r = put_xattr(p, fd, at, name, err);
    return r;
}

/* ---- kinds of entries ---- */

static int
put_extent(struct kh_packer *p, int fd, off_t at, off_t end, const char *name,
           struct kh_error *err)
{
    int r = 0;

    while (r == 0 && at < end) {
        size_t want =
            end - at < (off_t)sizeof(p->piece) ? (size_t)(end - at) : sizeof(p->piece);
        ssize_t n = pread(fd, p->piece, want, at);

        if (n < 0)
            return kh_pack_fail(err, "read", name);
        if (n == 0)
            break; /* the rest of a hole */
        r = kh_pack_number(p, (uint64_t)n, 4, err);
        if (r == 0)
            r = kh_pack_number(p, (uint64_t)at, 8, err);
        if (r == 0)
            r = p->put(p->arg, p->piece, (size_t)n, err);
        at += n;
        p->tally.bytes += (uint64_t)n;
        if (r == 0)
            r = p->go_on(&p->tally, err);
    }
    return r;
}

static int
put_data(struct kh_packer *p, int fd, off_t size, const char *name,
         struct kh_error *err)
{
    off_t at = 0;
    int r = 0;

    while (r == 0 && at < size) {
        off_t begin = lseek(fd, at, SEEK_DATA), end;

        if (begin < 0 && errno == ENXIO)
            break;
        end = begin < 0 ? -1 : lseek(fd, begin, SEEK_HOLE);
        if (end < 0)
            return kh_pack_fail(err, "read", name);
        r = put_extent(p, fd, begin, end < size ? end : size, name, err);
        at = end;
    }
    return r < 0 ? r : kh_pack_number(p, 0, 4, err);
}

static int
compare(const void *a, const void *b)
{
    const struct same *x = a, *y = b;

    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* 0 for a file with one name; *RET_FIRST: its number is new. */
static uint32_t
number_of(struct kh_packer *p, const struct stat *st, bool *ret_first)
{
    struct same *same, **found;

    *ret_first = true;
    if (st->st_nlink < 2)
        return 0;
    same = kh_xcalloc(1, sizeof(*same));
    *same = (struct same){st->st_ino, p->sames + 1};
    found = (struct same **)tsearch(same, &p->same, compare);
    if (!found)
        abort();
    if (*found == same) {
        p->sames++;
        return same->number;
    }
    free(same);
    *ret_first = false;
    return (*found)->number;
}

static int
put_same(struct kh_packer *p, const char *name, uint32_t number, struct kh_error *err)
{
    int r = kh_pack_head(p, KH_ARCHIVE_SAME, name, err);

    return r < 0 ? r : kh_pack_number(p, number, 4, err);
}

static int
put_file(struct kh_packer *p, const char *name, const struct stat *st, uint32_t number,
         struct kh_error *err)
{
    AUTO_FD int fd = kh_sys_open_in(p->dir, name, O_RDONLY | O_NONBLOCK);
    int r;

    if (fd < 0)
        return kh_pack_fail(err, "open", name);
    r = kh_pack_head(p, KH_ARCHIVE_FILE, name, err);
    if (r == 0)
        r = kh_pack_attributes(p, st, name, err);
    if (r == 0)
        r = kh_pack_number(p, (uint64_t)st->st_size, 8, err);
    if (r == 0)
        r = kh_pack_number(p, number, 4, err);
    if (r == 0)
        r = kh_pack_xattrs(p, fd, name, err);
    return r < 0 ? r : put_data(p, fd, st->st_size, name, err);
}

int
kh_pack_link(struct kh_packer *p, const char *name, const struct stat *st,
             struct kh_error *err)
{
    char target[KH_ARCHIVE_TARGET_MAX + 2];
    ssize_t n = readlinkat(p->dir, name, target, sizeof(target) - 1);
    int r;

    if (n < 0)
        return kh_pack_fail(err, "read the link", name);
    target[n] = '\0';
    r = kh_pack_head(p, KH_ARCHIVE_LINK, name, err);
    if (r == 0)
        r = kh_pack_attributes(p, st, name, err);
    return r < 0 ? r : kh_pack_text(p, target, err);
}

int
kh_pack_node(struct kh_packer *p, const char *name, const struct stat *st,
             enum kh_archive_kind kind, struct kh_error *err)
{
    int r = kh_pack_head(p, kind, name, err);

    return r < 0 || kind == KH_ARCHIVE_WHITEOUT ? r
                                                : kh_pack_attributes(p, st, name, err);
}

int
kh_pack_file(struct kh_packer *p, const char *name, const struct stat *st,
             struct kh_error *err)
{
    bool first;
    uint32_t number = number_of(p, st, &first);

    return first ? put_file(p, name, st, number, err) : put_same(p, name, number, err);
}
