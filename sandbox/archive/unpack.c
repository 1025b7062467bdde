#include "sandbox/archive/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/archive/jail.h"
#include "sandbox/archive/parse.h"
#include "sandbox/host/sys.h"

#define ERRNO_MAX 4095 /* the kernel's */

#define TOP   "upper"
#define SAMES ".same" /* files with several names, by their numbers */

struct unpacker {
    int in;
    int dir;   /* the innermost directory */
    int sames; /* SAMES */
    int file;  /* the one that is being written; -1: none */
    const struct kh_archive_entry *written; /* that one */
    /* Directories get their attributes when all is in them: an ACL would be inherited
     * by what is made, and their time would change. */
    struct kh_archive_entry **level;
    uint32_t depth;
    uint32_t last; /* number of a file with several names */
    uint8_t piece[KH_ARCHIVE_PIECE_MAX];
};

static int
fail(struct kh_error *err, const char *what)
{
    if (errno == EEXIST)
        return kh_fail(err, EBADMSG, "the archive is wrong: a name is there twice");
    if (errno == EDQUOT || errno == ENOSPC)
        return kh_fail(err, ENOSPC,
                       "it is larger than the disk it may have (hint: "
                       "--max-size)");
    return kh_fail_errno(err, "cannot %s", what);
}

/* ---- attributes ---- */

static int
put_xattrs(int fd, const struct kh_archive_entry *e, struct kh_error *err)
{
    uint32_t i;

    for (i = 0; i < e->xattrs; i++)
        if (fsetxattr(fd, e->xattr[i].name, e->xattr[i].value, e->xattr[i].size, 0) < 0)
            return fail(err, "set an attribute of a file");
    return 0;
}

static void
times_of(const struct kh_archive_entry *e, struct timespec times[2])
{
    times[0] = times[1] = (struct timespec){(time_t)e->mtime, (long)e->mtime_ns};
}

/* Owner first: a change of owner clears bits of the mode. */
static int
put_attributes(int fd, const struct kh_archive_entry *e, struct kh_error *err)
{
    struct timespec times[2];
    int r;

    if (fchown(fd, e->uid, e->gid) < 0 || fchmod(fd, e->mode) < 0)
        return fail(err, "set the owner and mode of a file");
    r = put_xattrs(fd, e, err);
    times_of(e, times);
    if (r == 0 && futimens(fd, times) < 0)
        r = fail(err, "set the time of a file");
    return r;
}

/* Of what cannot be opened. MODE: links have none. */
static int
put_attributes_at(int dir, const struct kh_archive_entry *e, bool mode,
                  struct kh_error *err)
{
    struct timespec times[2];

    times_of(e, times);
    if (fchownat(dir, e->name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        (mode && fchmodat(dir, e->name, e->mode, 0) < 0) ||
        utimensat(dir, e->name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(err, "set the attributes of an entry");
    return 0;
}

/* ---- entries ---- */

/* A copy that lasts, in one piece of memory. */
static struct kh_archive_entry *
keep(const struct kh_archive_entry *e)
{
    size_t values = 0, i;
    struct kh_archive_entry *copy;
    uint8_t *at;

    for (i = 0; i < e->xattrs; i++)
        values += e->xattr[i].size;
    copy = kh_xcalloc(1, sizeof(*copy) + e->xattrs * sizeof(*e->xattr) + values);
    *copy = *e;
    copy->xattr = (struct kh_archive_xattr *)(copy + 1);
    at = (uint8_t *)(copy->xattr + e->xattrs);
    for (i = 0; i < e->xattrs; i++) {
        copy->xattr[i] = e->xattr[i];
        memcpy(at, e->xattr[i].value, e->xattr[i].size);
        copy->xattr[i].value = at;
        at += e->xattr[i].size;
    }
    return copy;
}

static int
make_directory(struct unpacker *u, const struct kh_archive_entry *e,
               struct kh_error *err)
{
    const char *name = u->depth ? e->name : TOP;
    int dir;

    if (mkdirat(u->dir, name, 0700) < 0)
        return fail(err, "make a directory");
    dir = kh_sys_open_in(u->dir, name, O_RDONLY | O_DIRECTORY);
    if (dir < 0)
        return fail(err, "open a directory");
    close(u->dir);
    u->dir = dir;
    u->level = kh_xrealloc(u->level, (u->depth + 1) * sizeof(*u->level));
    u->level[u->depth++] = keep(e);
    return 0;
}

static int
make_file(struct unpacker *u, const struct kh_archive_entry *e, struct kh_error *err)
{
    char number[16];

    u->file = openat(u->dir, e->name,
                     O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (u->file < 0 || ftruncate(u->file, (off_t)e->size) < 0)
        return fail(err, "make a file");
    snprintf(number, sizeof(number), "%u", e->number);
    if (e->number && linkat(u->dir, e->name, u->sames, number, 0) < 0)
        return fail(err, "note a file with several names");
    if (e->number)
        u->last = e->number;
    u->written = e;
    return 0;
}

static int
make_link(struct unpacker *u, const struct kh_archive_entry *e, struct kh_error *err)
{
    if (symlinkat(e->target, u->dir, e->name) < 0)
        return fail(err, "make a link");
    return put_attributes_at(u->dir, e, false, err);
}

static int
make_same(struct unpacker *u, const struct kh_archive_entry *e, struct kh_error *err)
{
    char number[16];

    snprintf(number, sizeof(number), "%u", e->number);
    return linkat(u->sames, number, u->dir, e->name, 0) < 0
               ? fail(err, "give a file one more name")
               : 0;
}

static int
make_fifo(struct unpacker *u, const struct kh_archive_entry *e, struct kh_error *err)
{
    if (mknodat(u->dir, e->name, S_IFIFO | 0600, 0) < 0)
        return fail(err, "make a FIFO");
    return put_attributes_at(u->dir, e, true, err);
}

static int
make_socket(struct unpacker *u, const struct kh_archive_entry *e, struct kh_error *err)
{
    if (mknodat(u->dir, e->name, S_IFSOCK | 0600, 0) < 0)
        return fail(err, "make a socket");
    return put_attributes_at(u->dir, e, true, err);
}

static int
make_whiteout(struct unpacker *u, const struct kh_archive_entry *e,
              struct kh_error *err)
{
    return mknodat(u->dir, e->name, S_IFCHR, 0) < 0 ? fail(err, "make a whiteout") : 0;
}

static int
on_entry(void *arg, const struct kh_archive_entry *e, struct kh_error *err)
{
    static const struct {
        enum kh_archive_kind kind;
        int (*make)(struct unpacker *, const struct kh_archive_entry *,
                    struct kh_error *);
    } kinds[] = {
        {KH_ARCHIVE_DIRECTORY, make_directory}, {KH_ARCHIVE_FILE, make_file},
        {KH_ARCHIVE_LINK, make_link},           {KH_ARCHIVE_SAME, make_same},
        {KH_ARCHIVE_FIFO, make_fifo},           {KH_ARCHIVE_SOCKET, make_socket},
        {KH_ARCHIVE_WHITEOUT, make_whiteout},
    };
    struct unpacker *u = arg;
    size_t i;

    for (i = 0; i < KH_COUNT(kinds); i++)
        if (kinds[i].kind == e->kind)
            return kinds[i].make(u, e, err);
    return kh_fail(err, EBADMSG, "the archive holds an entry of no kind");
}

static int
on_data(void *arg, uint64_t offset, const uint8_t *data, size_t size,
        struct kh_error *err)
{
    struct unpacker *u = arg;

    while (size) {
        ssize_t n = pwrite(u->file, data, size, (off_t)offset);

        if (n <= 0)
            return fail(err, "write a file");
        data += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static int
on_leave(void *arg, struct kh_error *err)
{
    struct unpacker *u = arg;
    struct kh_archive_entry *entry;
    int up, r;

    if (u->file >= 0) {
        r = put_attributes(u->file, u->written, err);
        kh_fd_close(&u->file);
        return r;
    }
    entry = u->level[--u->depth];
    /* Nobody else is here: ".." is where we came from. */
    up = openat(u->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = up < 0 ? fail(err, "go back to a directory")
               : put_attributes(u->dir, entry, err);
    free(entry);
    close(u->dir);
    u->dir = up;
    return r;
}

/* ---- the child ---- */

static int
more(void *arg, const void **ret_data, size_t *ret_size, struct kh_error *err)
{
    struct unpacker *u = arg;
    ssize_t n;

    do
        n = read(u->in, u->piece, sizeof(u->piece));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return kh_fail_errno(err, "cannot read on");
    *ret_data = u->piece;
    *ret_size = (size_t)n;
    return n > 0;
}

/* Their other names stay. */
static int
drop_sames(const struct unpacker *u, struct kh_error *err)
{
    char number[16];
    uint32_t i;

    for (i = 1; i <= u->last; i++) {
        snprintf(number, sizeof(number), "%u", i);
        if (unlinkat(u->sames, number, 0) < 0)
            return fail(err, "remove a name");
    }
    return unlinkat(u->dir, SAMES, AT_REMOVEDIR) < 0 ? fail(err, "remove a directory")
                                                     : 0;
}

static int
unpack(struct unpacker *u, struct kh_error *err)
{
    const struct kh_archive_sink sink = {on_entry, on_data, on_leave, u};
    int r;

    if (mkdirat(u->dir, SAMES, 0700) < 0)
        return fail(err, "make a directory");
    u->sames = openat(u->dir, SAMES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->sames < 0)
        return fail(err, "open a directory");
    r = kh_archive_parse(more, u, &sink, err);
    return r < 0 ? r : drop_sames(u, err);
}

static _Noreturn void
child(int in, int result, int dir)
{
    static struct kh_unpack_result told;
    struct unpacker *u = kh_xcalloc(1, sizeof(*u));

    if (kh_jail_enter(&in, &result, &dir, &told.error) == 0) {
        u->in = in;
        u->dir = dir;
        u->file = u->sames = -1;
        (void)unpack(u, &told.error);
    }
    (void)kh_fd_write_full(result, &told, sizeof(told));
    _exit(0);
}

int
kh_unpack_start(int dir, pid_t *ret_pid, int *ret_pipe, int *ret_result,
                struct kh_error *err)
{
    int in[2], out[2];
    pid_t pid;

    if (pipe2(in, O_CLOEXEC) < 0)
        return kh_fail_errno(err, "cannot make a pipe");
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return kh_fail_errno(err, "cannot make a pipe");
    }
    pid = fork();
    if (pid == 0)
        child(in[0], out[1], dir);
    close(in[0]);
    close(out[1]);
    if (pid < 0) {
        close(in[1]);
        close(out[0]);
        return kh_fail_errno(err, "cannot fork");
    }
    *ret_pid = pid;
    *ret_pipe = in[1];
    *ret_result = out[0];
    return 0;
}

int
kh_unpack_judge(const struct kh_unpack_result *result, struct kh_error *err)
{
    char text[KH_ERROR_TEXT_MAX];
    int code = result->error.code;

    if (!code)
        return 0;
    kh_log_clean(result->error.text,
                 strnlen(result->error.text, sizeof(result->error.text)), text,
                 sizeof(text));
    return kh_fail(err, code < 0 || code > ERRNO_MAX ? EIO : code, "%s", text);
}
