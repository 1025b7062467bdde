#include "sandbox/image/seal.h"

#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "base/mem.h"
#include "sandbox/image/below.h"
#include "sandbox/image/digest.h"
#include "sandbox/image/view.h"
#include "sandbox/image/wire.h"

#define OPAQUE    "trusted.overlay.opaque"
#define LIST_MAX  65536
#define DEPTH_MAX (KH_PATH_DEPTH + 4)
#define ID_MAX    65535

struct seal {
    struct kh_digest *sum; /* NULL: only count */
    struct kh_sealed sealed;
    void *seen; /* tree of files with several names */
    uint64_t files;
    int (*go_on)(struct kh_error *err);
};

/* A file with several names is read, and counted, at the first one. */
struct seen {
    ino_t inode;
    uint64_t number;
};

static int
compare_seen(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;

    return (x->inode > y->inode) - (x->inode < y->inode);
}

static int
fail(struct kh_error *err, const char *name, const char *why)
{
    char shown[KH_PATH_SHOWN];

    return kh_fail(err, EBADMSG, "'%s' in the layer %s", kh_path_show(name, shown),
                   why);
}

static void
add(struct seal *seal, const void *p, size_t size)
{
    uint64_t length = size;

    kh_digest_add(seal->sum, &length, sizeof(length));
    kh_digest_add(seal->sum, p, size);
}

static void
add_facts(struct seal *seal, char kind, const char *name, const struct stat *st)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "%c %o %u %u %lld.%09ld", kind,
                     (unsigned)st->st_mode & 07777, st->st_uid, st->st_gid,
                     (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);

    add(seal, text, (size_t)n);
    add(seal, name, strlen(name));
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Our mark becomes overlayfs's; of the others only the user's may be there. */
static int
take_xattr(struct seal *seal, int fd, const char *file, const char *name,
           struct kh_error *err)
{
    static char value[LIST_MAX]; /* not on the stack: callers recurse */
    ssize_t n;

    if (!strcmp(name, KH_IMPORT_OPAQUE)) {
        if (fsetxattr(fd, OPAQUE, "y", 1, 0) < 0 || fremovexattr(fd, name) < 0)
            return kh_fail_errno(err, "cannot mark a directory opaque");
        add(seal, "opaque", 6);
        return 0;
    }
    if (!strcmp(name, OPAQUE)) {
        add(seal, "opaque", 6);
        return 0;
    }
    /* What overlayfs notes on an upper directory: void below another one. */
    if (!strcmp(name, "trusted.overlay.origin") ||
        !strcmp(name, "trusted.overlay.impure"))
        return fremovexattr(fd, name) < 0
                   ? kh_fail_errno(err, "cannot remove an attribute")
                   : 0;
    if (!strncmp(name, "security.selinux", 16))
        return 0; /* the host's own label */
    if (strncmp(name, "user.", 5) != 0 || !strncmp(name, "user.overlay.", 13))
        return fail(err, file, "has an attribute that must not be");
    n = fgetxattr(fd, name, value, sizeof(value));
    if (n < 0)
        return kh_fail_errno(err, "cannot read an attribute");
    add(seal, name, strlen(name));
    add(seal, value, (size_t)n);
    return 0;
}

static int
take_xattrs(struct seal *seal, int fd, const char *file, struct kh_error *err)
{
    static char list[LIST_MAX];
    char *name, *names[256];
    ssize_t n = flistxattr(fd, list, sizeof(list) - 1);
    size_t count = 0, i;
    int r = 0;

    if (n < 0)
        return errno == ENOTSUP ? 0 : kh_fail_errno(err, "cannot list attributes");
    list[n] = '\0';
    for (name = list; name < list + n; name += strlen(name) + 1)
        if (count < KH_COUNT(names))
            names[count++] = name;
    qsort(names, count, sizeof(*names), compare_names);
    for (i = 0; r == 0 && i < count; i++)
        r = take_xattr(seal, fd, file, names[i], err);
    return r;
}

static int
go_on(const struct seal *seal, struct kh_error *err)
{
    return seal->go_on ? seal->go_on(err) : 0;
}

/* True if the file was there under another name; it is noted otherwise. */
static bool
known(struct seal *seal, const struct stat *st)
{
    struct seen *fresh, **found;

    if (st->st_nlink < 2)
        return false;
    fresh = kh_xcalloc(1, sizeof(*fresh));
    *fresh = (struct seen){st->st_ino, seal->files};
    found = (struct seen **)tsearch(fresh, &seal->seen, compare_seen);
    if (!found)
        abort();
    if (*found == fresh)
        return false;
    free(fresh);
    if (seal->sum)
        add(seal, &(*found)->number, sizeof((*found)->number));
    return true;
}

static int
take_file(struct seal *seal, int parent, const char *name, const struct stat *st,
          struct kh_error *err)
{
    AUTO_FD int fd = -1;
    AUTO_FREE char *buffer = NULL;
    struct stat now;
    ssize_t n;
    int r;

    seal->files++;
    if (known(seal, st))
        return 0;
    seal->sealed.bytes += (uint64_t)st->st_size;
    if (!seal->sum)
        return 0;
    fd = kh_below_open(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &now) < 0)
        return kh_fail_errno(err, "cannot read a file of the layer");
    if (!S_ISREG(now.st_mode) || now.st_ino != st->st_ino)
        return fail(err, name, "changes while it is read");
    r = take_xattrs(seal, fd, name, err);
    buffer = kh_xcalloc(1, 1 << 20);
    add(seal, &st->st_size, sizeof(st->st_size));
    while (r == 0 && (n = read(fd, buffer, 1 << 20)) != 0) {
        if (n < 0)
            return kh_fail_errno(err, "cannot read a file of the layer");
        kh_digest_add(seal->sum, buffer, (size_t)n);
        r = go_on(seal, err);
    }
    return r;
}

static int
take_link(struct seal *seal, int parent, const char *name, struct kh_error *err)
{
    char target[KH_PATH_MAX + 2];
    ssize_t n = readlinkat(parent, name, target, sizeof(target));

    if (n < 0)
        return kh_fail_errno(err, "cannot read a link of the layer");
    if (seal->sum)
        add(seal, target, (size_t)n);
    return 0;
}

/* Returns its descriptor: it is walked next. */
static int
take_directory(struct seal *seal, int parent, const char *name, struct kh_error *err)
{
    AUTO_FD int fd = kh_below_open(parent, name, O_RDONLY | O_DIRECTORY);

    if (fd < 0)
        return kh_fail_errno(err, "cannot open a directory of the layer");
    if (seal->sum && take_xattrs(seal, fd, name, err) < 0)
        return -err->code;
    return STEAL_FD(fd);
}

/* Returns the descriptor of a directory, else 0. */
static int
take(struct seal *seal, int dir, const char *name, struct kh_error *err)
{
    struct stat st;
    char kind;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return kh_fail_errno(err, "cannot look at a file of the layer");
    kind = S_ISDIR(st.st_mode)     ? 'd'
           : S_ISREG(st.st_mode)   ? 'f'
           : S_ISLNK(st.st_mode)   ? 'l'
           : kh_view_whiteout(&st) ? 'w'
                                   : 0;
    seal->sealed.entries++;
    if (seal->sum && !kind)
        return fail(err, name, "is a device, a FIFO or a socket");
    if (seal->sum && (st.st_uid > ID_MAX || st.st_gid > ID_MAX ||
                      (kind == 'f' && st.st_mode & 06000)))
        return fail(err, name, "has an owner or a mode that must not be");
    if (kind == 'w') /* hides, whatever else is said of it */
        st = (struct stat){.st_mode = S_IFCHR};
    if (seal->sum)
        add_facts(seal, kind, name, &st);
    if (kind == 'd')
        return take_directory(seal, dir, name, err);
    if (kind == 'f')
        return take_file(seal, dir, name, &st, err);
    return kind == 'l' ? take_link(seal, dir, name, err) : 0;
}

/* The names of DIR, sorted. */
static int
list(int dir, char ***ret_names, size_t *ret_count, struct kh_error *err)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    char **names = NULL;
    size_t count = 0;

    if (!stream) {
        if (copy >= 0)
            close(copy);
        return kh_fail_errno(err, "cannot read a directory of the layer");
    }
    while ((entry = readdir(stream))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (!(count & (count - 1)))
            names = kh_xrealloc(names, sizeof(*names) * (count ? 2 * count : 1));
        names[count++] = kh_xstrdup(entry->d_name);
    }
    closedir(stream);
    if (count)
        qsort(names, count, sizeof(*names), compare_names);
    *ret_names = names;
    *ret_count = count;
    return 0;
}

/* A directory that is being read, and how far. */
struct level {
    int dir;
    char **names;
    size_t count, next;
};

/* Takes DIR over. */
static int
enter(struct seal *seal, struct level *level, int dir, struct kh_error *err)
{
    int r = go_on(seal, err);

    *level = (struct level){.dir = dir};
    return r < 0 ? r : list(dir, &level->names, &level->count, err);
}

static void
leave(struct level *level)
{
    while (level->count)
        free(level->names[--level->count]);
    free(level->names);
    close(level->dir);
}

static int
walk(struct seal *seal, int root, struct kh_error *err)
{
    struct level levels[DEPTH_MAX], *top = levels;
    int r, dir = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return kh_fail_errno(err, "cannot read a directory of the layer");
    r = enter(seal, top, dir, err);
    while (r >= 0 && (top > levels || top->next < top->count)) {
        if (top->next == top->count) {
            leave(top--);
            if (seal->sum)
                add(seal, "..", 2);
            continue;
        }
        r = take(seal, top->dir, top->names[top->next++], err);
        if (r > 0 && top + 1 == levels + DEPTH_MAX) {
            close(r);
            r = kh_fail(err, EBADMSG, "the layer is too deep");
        } else if (r > 0) {
            r = enter(seal, ++top, r, err);
        }
    }
    while (top >= levels)
        leave(top--);
    return r;
}

int
kh_seal(int dir, int (*go_on_fn)(struct kh_error *err), struct kh_sealed *ret_sealed,
        struct kh_error *err)
{
    AUTO(kh_digest) struct kh_digest *sum = kh_digest_new();
    struct seal seal = {.sum = sum, .go_on = go_on_fn};
    char text[KH_DIGEST_TEXT];
    int r;

    kh_digest_add(sum, "kernelhost-layer 1\n", 19);
    r = walk(&seal, dir, err);
    tdestroy(seal.seen, free);
    if (r < 0)
        return r;
    kh_digest_text(sum, text);
    memcpy(seal.sealed.id, text + strlen("sha256:"), KH_ID_TEXT - 1);
    seal.sealed.id[KH_ID_TEXT - 1] = '\0';
    *ret_sealed = seal.sealed;
    return 0;
}

int
kh_seal_measure(int dir, struct kh_sealed *ret_sealed, struct kh_error *err)
{
    struct seal seal = {0};
    int r = walk(&seal, dir, err);

    tdestroy(seal.seen, free);
    if (r == 0)
        *ret_sealed = seal.sealed;
    return r;
}
