/* Memory that several have: given to a snapshot, or to a sandbox that is made of one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/idmap.h"
#include "sandbox/host/memory_own.h"
#include "sandbox/host/tree.h"

/* CRIU only reads its images, and what is changed is replaced (kh_memory_map): so
 * directories may share the files. What CRIU writes as it restores is each one's own.
 */

static int
share_file(int dir, const char *name, void *arg, struct kh_error *err)
{
    const int *to = arg;
    size_t length = strlen(name);

    if ((length > 4 && !strcmp(name + length - 4, ".log")) ||
        !strncmp(name, "stats-", 6))
        return 0;
    return linkat(dir, name, *to, name, 0) < 0
               ? kh_fail_errno(err, "cannot share '%s'", name)
               : 0;
}

/* Under another name until it is whole. */
static int
share(int from, int parent, const char *name, struct kh_error *err)
{
    AUTO_FREE char *fresh = kh_xasprintf("%s" KH_MEMORY_NEW, name);
    AUTO_FD int to = -1;
    int r;

    if (mkdirat(parent, fresh, 0700) < 0)
        return kh_fail_errno(err, "cannot make a directory for the memory");
    to = openat(parent, fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    r = to < 0 ? kh_fail_errno(err, "cannot open '%s'", fresh)
               : kh_memory_each(from, share_file, &to, err);
    if (r == 0 && (fsync(to) < 0 || renameat(parent, fresh, parent, name) < 0 ||
                   fsync(parent) < 0))
        r = kh_fail_errno(err, "cannot name the memory's directory");
    if (r < 0 && to >= 0 && kh_tree_empty(to, NULL) == 0)
        (void)unlinkat(parent, fresh, AT_REMOVEDIR);
    return r;
}

int
kh_memory_share(const struct kh_store *store, int from, const char *id,
                struct kh_error *err)
{
    return share(from, store->memory, id, err);
}

int
kh_memory_copy(const struct kh_store *store, const char *id, int to, const char *name,
               struct kh_error *err)
{
    AUTO_FD int from = kh_memory_at(store, id);

    return from < 0 ? kh_fail_errno(err, "cannot open the memory of '%s'", id)
                    : share(from, to, name, err);
}

/* ---- the id map in CRIU's image ----
 *
 * userns-N.img: two magic numbers, the size of the message, and (images/userns.proto)
 * UsernsEntry { repeated uid_gid_extent uid_map = 1, gid_map = 2 } of
 * uid_gid_extent { required uint32 first = 1, lower_first = 2, count = 3 }. */

#define IMAGE_MAGIC  0x54564319u /* IMG_COMMON_MAGIC */
#define USERNS_MAGIC 0x55474906u

static void
put_number(struct kh_buf *out, unsigned field, uint64_t value)
{
    unsigned char byte = (unsigned char)(field << 3); /* a varint */

    kh_buf_add(out, &byte, 1);
    do {
        byte = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        kh_buf_add(out, &byte, 1);
        value >>= 7;
    } while (value);
}

static void
put_map(struct kh_buf *out, unsigned field, uint32_t first)
{
    struct kh_buf extent = KH_BUF_INIT;
    unsigned char head[2] = {(unsigned char)(field << 3 | 2), 0};

    put_number(&extent, 1, 0);
    put_number(&extent, 2, first);
    put_number(&extent, 3, KH_IDMAP_SIZE);
    head[1] = (unsigned char)kh_buf_len(&extent); /* below 128: one byte */
    kh_buf_add(out, head, sizeof(head));
    kh_buf_add(out, kh_buf_ptr(&extent), kh_buf_len(&extent));
    kh_buf_release(&extent);
}

struct mapping {
    uint32_t first;
    bool done;
};

static int
map_file(int dir, const char *name, void *arg, struct kh_error *err)
{
    struct mapping *mapping = arg;
    struct kh_buf message = KH_BUF_INIT, image = KH_BUF_INIT;
    uint32_t head[3] = {0};
    AUTO_FD int fd = -1;
    int r;

    if (strncmp(name, "userns-", 7) != 0)
        return 0;
    fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || kh_fd_read_full(fd, head, sizeof(head)) < 0 ||
        head[0] != IMAGE_MAGIC || head[1] != USERNS_MAGIC)
        return kh_fail(err, EBADMSG, "'%s' is no image of a user namespace", name);
    put_map(&message, 1, mapping->first);
    put_map(&message, 2, mapping->first);
    head[2] = (uint32_t)kh_buf_len(&message);
    kh_buf_add(&image, head, sizeof(head));
    kh_buf_add(&image, kh_buf_ptr(&message), kh_buf_len(&message));
    r = kh_fd_replace_file(dir, name, kh_buf_ptr(&image), kh_buf_len(&image), 0600,
                           err);
    kh_buf_release(&message);
    kh_buf_release(&image);
    mapping->done = true;
    return r;
}

static int
show_file(int dir, const char *name, void *arg, struct kh_error *err)
{
    (void)arg;
    return fchmodat(dir, name, 0644, 0) < 0
               ? kh_fail_errno(err, "cannot open '%s' to criu", name)
               : 0;
}

/* CRIU's processes read it as root of the sandbox, and some of it before they are that,
 * through a descriptor of the directory: its path is closed to all but root. */
int
kh_memory_map(int dir, uint32_t first, struct kh_error *err)
{
    struct mapping mapping = {.first = first};
    int r = kh_memory_each(dir, map_file, &mapping, err);

    if (r == 0 && !mapping.done)
        return kh_fail(err, EBADMSG, "the memory has no user namespace");
    if (r == 0)
        r = kh_memory_each(dir, show_file, NULL, err);
    if (r == 0 && fchmod(dir, 0755) < 0)
        r = kh_fail_errno(err, "cannot open the memory to criu");
    return r;
}
