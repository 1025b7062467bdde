#include "sandbox/archive/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"
#include "sandbox/host/store.h"

struct parser {
    int (*more)(void *, const void **, size_t *, struct kh_error *);
    void *arg;
    const struct kh_archive_sink *sink;
    const uint8_t *at;
    size_t left;
    uint32_t depth;
    uint32_t files; /* that have several names */
    struct kh_archive_entry entry;
    uint8_t *values; /* of the entry's extended attributes */
    uint8_t piece[KH_ARCHIVE_PIECE_MAX];
};

static int
bad(struct kh_error *err, const char *what)
{
    return kh_fail(err, EBADMSG, "the archive is wrong: %s", what);
}

bool
kh_archive_keeps(const char *xattr)
{
    return !strncmp(xattr, "user.", 5) || !strcmp(xattr, "system.posix_acl_access") ||
           !strcmp(xattr, "system.posix_acl_default") ||
           !strcmp(xattr, "trusted.overlay.opaque");
}

/* ---- bytes ---- */

/* 1 when there are some, 0 at the end. */
static int
fill(struct parser *p, struct kh_error *err)
{
    int r = 1;

    while (!p->left && r > 0) {
        const void *data = NULL;

        r = p->more(p->arg, &data, &p->left, err);
        p->at = data;
        if (r <= 0)
            p->left = 0;
    }
    return r;
}

static int
take(struct parser *p, void *out, size_t size, struct kh_error *err)
{
    uint8_t *to = out;

    while (size) {
        size_t now;
        int r = fill(p, err);

        if (r <= 0)
            return r < 0 ? r : bad(err, "it ends too soon");
        now = size < p->left ? size : p->left;
        memcpy(to, p->at, now);
        to += now;
        p->at += now;
        p->left -= now;
        size -= now;
    }
    return 0;
}

static int
take_number(struct parser *p, size_t bytes, uint64_t *ret, struct kh_error *err)
{
    uint8_t raw[8] = {0};
    uint64_t value = 0;
    int r = take(p, raw, bytes, err);

    if (r < 0)
        return r;
    while (bytes--)
        value = value << 8 | raw[bytes];
    *ret = value;
    return 0;
}

static int
take_u32(struct parser *p, uint64_t most, const char *what, uint32_t *ret,
         struct kh_error *err)
{
    uint64_t value = 0;
    int r = take_number(p, 4, &value, err);

    if (r == 0 && value > most)
        return bad(err, what);
    *ret = (uint32_t)value;
    return r;
}

/* A text of at most SIZE - 1 bytes, without a NUL, behind its length. */
static int
take_text(struct parser *p, char *out, size_t size, const char *what,
          struct kh_error *err)
{
    uint64_t length = 0;
    int r = take_number(p, 2, &length, err);

    if (r < 0)
        return r;
    if (length >= size)
        return bad(err, what);
    r = take(p, out, length, err);
    if (r < 0)
        return r;
    out[length] = '\0';
    return strlen(out) == length ? 0 : bad(err, what);
}

/* ---- entries ---- */

static int
take_name(struct parser *p, struct kh_error *err)
{
    char *name = p->entry.name;
    int r = take_text(p, name, sizeof(p->entry.name), "a name is too long", err);

    if (r < 0)
        return r;
    if (p->depth == 0)
        return *name || p->entry.kind != KH_ARCHIVE_DIRECTORY
                   ? bad(err, "its first entry is not the top")
                   : 0;
    if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
        return bad(err, "an entry has an impossible name");
    return 0;
}

static int
take_attributes(struct parser *p, struct kh_error *err)
{
    struct kh_archive_entry *e = &p->entry;
    uint64_t mtime = 0;
    int r = take_u32(p, 07777, "a mode has bits that none has", &e->mode, err);

    if (r == 0)
        r = take_u32(p, KH_ARCHIVE_ID_MAX, "an owner is out of range", &e->uid, err);
    if (r == 0)
        r = take_u32(p, KH_ARCHIVE_ID_MAX, "a group is out of range", &e->gid, err);
    if (r == 0)
        r = take_number(p, 8, &mtime, err);
    e->mtime = (int64_t)mtime;
    if (r == 0)
        r = take_u32(p, 999999999, "a time is out of range", &e->mtime_ns, err);
    return r;
}

static int
take_xattr(struct parser *p, struct kh_archive_xattr *x, uint32_t *sum,
           struct kh_error *err)
{
    int r =
        take_text(p, x->name, sizeof(x->name), "an attribute's name is too long", err);

    if (r == 0 && !kh_archive_keeps(x->name))
        return bad(err, "it holds an attribute that none may have");
    if (r == 0)
        r = take_u32(p, KH_ARCHIVE_XATTR_MAX, "an attribute is too large", &x->size,
                     err);
    if (r == 0 && x->size > KH_ARCHIVE_XATTRS_SUM - *sum)
        return bad(err, "the attributes of an entry are too large");
    if (r < 0)
        return r;
    /* The values move as more come: their places are set when all are there. */
    p->values = kh_xrealloc(p->values, *sum + x->size + 1);
    r = take(p, p->values + *sum, x->size, err);
    *sum += x->size;
    return r;
}

static int
take_xattrs(struct parser *p, struct kh_error *err)
{
    struct kh_archive_entry *e = &p->entry;
    uint32_t sum = 0, i;
    int r = take_u32(p, KH_ARCHIVE_XATTRS_MAX, "an entry has too many attributes",
                     &e->xattrs, err);

    for (i = 0; r == 0 && i < e->xattrs; i++)
        r = take_xattr(p, &e->xattr[i], &sum, err);
    for (sum = 0, i = 0; r == 0 && i < e->xattrs; i++) {
        e->xattr[i].value = p->values + sum;
        sum += e->xattr[i].size;
    }
    return r;
}

/* Pieces until one without bytes; what is between them is a hole. */
static int
take_data(struct parser *p, struct kh_error *err)
{
    uint64_t end = 0, offset = 0;
    uint32_t length = 0;
    int r;

    for (;;) {
        r = take_u32(p, KH_ARCHIVE_PIECE_MAX, "a piece is too large", &length, err);
        if (r < 0 || !length)
            return r;
        r = take_number(p, 8, &offset, err);
        if (r == 0 &&
            (offset < end || offset > p->entry.size || length > p->entry.size - offset))
            return bad(err, "a file has bytes where none can be");
        if (r == 0)
            r = take(p, p->piece, length, err);
        if (r == 0)
            r = p->sink->data(p->sink->arg, offset, p->piece, length, err);
        if (r < 0)
            return r;
        end = offset + length;
    }
}

static int
take_file(struct parser *p, struct kh_error *err)
{
    int r = take_number(p, 8, &p->entry.size, err);

    if (r == 0 && p->entry.size > INT64_MAX)
        return bad(err, "a file is too large");
    if (r == 0)
        r = take_u32(p, UINT32_MAX - 1, "a file's number is too high", &p->entry.number,
                     err);
    if (r == 0 && p->entry.number && p->entry.number != ++p->files)
        return bad(err, "files are not numbered one after the other");
    if (r == 0)
        r = take_xattrs(p, err);
    if (r == 0)
        r = p->sink->entry(p->sink->arg, &p->entry, err);
    if (r == 0)
        r = take_data(p, err);
    return r < 0 ? r : p->sink->leave(p->sink->arg, err);
}

static int
take_directory(struct parser *p, struct kh_error *err)
{
    int r = take_xattrs(p, err);

    if (r == 0 && p->depth == KH_ARCHIVE_DEPTH_MAX)
        return bad(err, "its directories are too deep");
    if (r == 0)
        r = p->sink->entry(p->sink->arg, &p->entry, err);
    p->depth++;
    return r;
}

static int
take_link(struct parser *p, struct kh_error *err)
{
    int r = take_text(p, p->entry.target, sizeof(p->entry.target),
                      "a link's target is too long", err);

    if (r == 0 && !*p->entry.target)
        return bad(err, "a link has no target");
    return r < 0 ? r : p->sink->entry(p->sink->arg, &p->entry, err);
}

static int
take_same(struct parser *p, struct kh_error *err)
{
    int r = take_u32(p, p->files, "a name is of no file", &p->entry.number, err);

    if (r == 0 && !p->entry.number)
        return bad(err, "a name is of no file");
    return r < 0 ? r : p->sink->entry(p->sink->arg, &p->entry, err);
}

static int
take_node(struct parser *p, struct kh_error *err)
{
    return p->sink->entry(p->sink->arg, &p->entry, err);
}

static int
take_entry(struct parser *p, uint8_t kind, struct kh_error *err)
{
    static const struct {
        enum kh_archive_kind kind;
        bool attributes;
        int (*rest)(struct parser *, struct kh_error *);
    } kinds[] = {
        {KH_ARCHIVE_DIRECTORY, true, take_directory},
        {KH_ARCHIVE_FILE, true, take_file},
        {KH_ARCHIVE_LINK, true, take_link},
        {KH_ARCHIVE_SAME, false, take_same},
        {KH_ARCHIVE_FIFO, true, take_node},
        {KH_ARCHIVE_SOCKET, true, take_node},
        {KH_ARCHIVE_WHITEOUT, false, take_node},
    };
    struct kh_archive_xattr *xattr = p->entry.xattr;
    size_t i;
    int r;

    for (i = 0; i < KH_COUNT(kinds); i++) {
        if ((uint8_t)kinds[i].kind != kind)
            continue;
        memset(&p->entry, 0, sizeof(p->entry));
        p->entry.kind = kinds[i].kind;
        p->entry.xattr = xattr;
        r = take_name(p, err);
        if (r == 0 && kinds[i].attributes)
            r = take_attributes(p, err);
        return r < 0 ? r : kinds[i].rest(p, err);
    }
    return bad(err, "it holds an entry of no kind");
}

static int
take_info(struct parser *p, struct kh_archive_info *info, struct kh_error *err)
{
    int r = take_text(p, info->name, sizeof(info->name), "a name is too long", err);

    if (r == 0)
        r = take_text(p, info->sandbox, sizeof(info->sandbox), "a name is too long",
                      err);
    if (r == 0)
        r = take_text(p, info->image, sizeof(info->image), "a name is too long", err);
    if (r == 0)
        r = take_text(p, info->image_id, sizeof(info->image_id), "an id is too long",
                      err);
    if (r == 0)
        r = take_number(p, 8, &info->created, err);
    if (r < 0)
        return r;
    if (!kh_name_valid(info->name) || !kh_name_valid(info->sandbox) ||
        !kh_image_name_valid(info->image) || !kh_id_text_valid(info->image_id))
        return bad(err, "it has an impossible name");
    return 0;
}

/* Until the top has ended, and with it all. */
static int
parse(struct parser *p, struct kh_error *err)
{
    struct kh_archive_info info = {.created = 0};
    int r = take_info(p, &info, err);

    while (r == 0) {
        uint8_t kind = 0;

        r = take(p, &kind, 1, err);
        if (r < 0 || (kind != KH_ARCHIVE_END && (r = take_entry(p, kind, err)) < 0) ||
            kind != KH_ARCHIVE_END)
            continue;
        if (p->depth == 0)
            return bad(err, "a directory ends that has not begun");
        r = p->sink->leave(p->sink->arg, err);
        if (--p->depth == 0 && r == 0)
            break;
    }
    if (r == 0) {
        r = fill(p, err);
        if (r > 0)
            return bad(err, "something follows its end");
    }
    return r;
}

int
kh_archive_parse(int (*more)(void *arg, const void **ret_data, size_t *ret_size,
                             struct kh_error *err),
                 void *arg, const struct kh_archive_sink *sink, struct kh_error *err)
{
    struct parser *p = kh_xcalloc(1, sizeof(*p));
    int r;

    p->more = more;
    p->arg = arg;
    p->sink = sink;
    p->entry.xattr = kh_xcalloc(KH_ARCHIVE_XATTRS_MAX, sizeof(*p->entry.xattr));
    r = parse(p, err);
    free(p->entry.xattr);
    free(p->values);
    free(p);
    return r;
}

static int
no_more(void *arg, const void **ret_data, size_t *ret_size, struct kh_error *err)
{
    (void)arg;
    (void)ret_data;
    (void)ret_size;
    (void)err;
    return 0;
}

int
kh_archive_parse_info(const void *data, size_t size, struct kh_archive_info *ret_info,
                      struct kh_error *err)
{
    struct parser *p = kh_xcalloc(1, sizeof(*p));
    struct kh_archive_info info = {.created = 0};
    int r;

    p->more = no_more;
    p->at = data;
    p->left = size;
    r = take_info(p, &info, err);
    free(p);
    if (r == 0)
        *ret_info = info;
    return r;
}
