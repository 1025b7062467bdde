#include "sandbox/host/memory_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/tree.h"
#include "sandbox/host/trash.h"

/* Lines of "BYTES NAME": the files that CRIU reads without asking how long they are. */
#define PAGES     "pages"
#define PAGES_MAX (1u << 20)

#define ROOM_MIN (64u * 1024) /* bytes; with less CRIU writes nothing useful */

int
kh_memory_at(const struct kh_store *store, const char *name)
{
    return openat(store->memory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int
kh_memory_begin(const struct kh_store *store, const char *id, char path[KH_MEMORY_PATH],
                struct kh_error *err)
{
    char name[KH_ID_TEXT + 8];
    AUTO_FD int dir = -1;
    int r = kh_fault("memory-begin", err);

    if (r < 0)
        return r;
    snprintf(name, sizeof(name), "%s" KH_MEMORY_NEW, id);
    snprintf(path, KH_MEMORY_PATH, "%s/memory/%s", store->path, name);
    if (mkdirat(store->memory, name, 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make a directory for the memory");
    dir = kh_memory_at(store, name);
    if (dir < 0 || flock(dir, LOCK_EX | LOCK_NB) < 0)
        return kh_fail_errno(err, "cannot lock the directory for the memory");
    r = kh_tree_empty(dir, err);
    return r < 0 ? r : STEAL_FD(dir);
}

static int
sync_one(int dir, const char *name, struct kh_error *err)
{
    AUTO_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    return fd < 0 || fsync(fd) < 0 ? kh_fail_errno(err, "cannot sync '%s'", name) : 0;
}

/* Calls FN for every file in DIR until it fails. */
int
kh_memory_each(int dir,
               int (*fn)(int dir, const char *name, void *arg, struct kh_error *),
               void *arg, struct kh_error *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!list)
        return kh_fail_errno(err, "cannot list the memory's directory");
    while (r == 0 && (entry = readdir(list)))
        if (entry->d_name[0] != '.')
            r = fn(dir, entry->d_name, arg, err);
    closedir(list);
    return r;
}

static int
sync_file(int dir, const char *name, void *arg, struct kh_error *err)
{
    (void)arg;
    return sync_one(dir, name, err);
}

int
kh_memory_sync(int dir, struct kh_error *err)
{
    int r = kh_fault("memory-sync", err);

    if (r == 0)
        r = kh_memory_each(dir, sync_file, NULL, err);
    return r == 0 && fsync(dir) < 0 ? kh_fail_errno(err, "cannot sync the memory") : r;
}

/* ---- how long the pages are ---- */

static int
note_pages(int dir, const char *name, void *arg, struct kh_error *err)
{
    struct kh_buf *list = arg;
    char line[64 + NAME_MAX];
    struct stat st;

    if (strncmp(name, "pages-", 6) != 0)
        return 0;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return kh_fail_errno(err, "cannot look at '%s'", name);
    snprintf(line, sizeof(line), "%lld %s\n", (long long)st.st_size, name);
    kh_buf_add(list, line, strlen(line));
    return 0;
}

static int
note_all_pages(int dir, struct kh_error *err)
{
    struct kh_buf list = KH_BUF_INIT;
    int r = kh_memory_each(dir, note_pages, &list, err);

    if (r == 0)
        r = kh_fd_replace_file(dir, PAGES, kh_buf_ptr(&list), kh_buf_len(&list), 0600,
                               err);
    kh_buf_release(&list);
    return r;
}

int
kh_memory_check(int dir, struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    char *line, *name, *save = NULL;
    struct stat st;
    int r = kh_fd_read_file(dir, PAGES, PAGES_MAX, &text, NULL, err);

    for (line = r < 0 ? NULL : strtok_r(text, "\n", &save); line && r == 0;
         line = strtok_r(NULL, "\n", &save)) {
        long long size = strtoll(line, &name, 10);

        if (*name++ != ' ' || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            st.st_size != size)
            r = kh_fail(
                err, EBADMSG,
                "its memory on the disk is damaged: '%s' has not its %lld bytes", name,
                size);
    }
    return r;
}

const char *
kh_memory_full(int dir)
{
    struct statvfs st;

    if (fstatvfs(dir, &st) < 0)
        return "";
    if (st.f_bavail * (uint64_t)st.f_frsize < ROOM_MIN)
        return "no room is left on the disk";
    return st.f_files && !st.f_favail ? "no inode is left on the disk" : "";
}

int
kh_memory_commit(const struct kh_store *store, const char *id,
                 const struct kh_birth *birth, struct kh_error *err)
{
    unsigned char bytes[KH_BIRTH_SIZE];
    char name[KH_ID_TEXT + 8];
    AUTO_FD int dir = -1;
    int r;

    snprintf(name, sizeof(name), "%s" KH_MEMORY_NEW, id);
    dir = kh_memory_at(store, name);
    if (dir < 0)
        return kh_fail_errno(err, "cannot open the memory's directory");
    (void)kh_birth_encode(birth, bytes, sizeof(bytes));
    r = note_all_pages(dir, err);
    if (r == 0)
        r = kh_fd_replace_file(dir, KH_BIRTH_FILE, bytes, sizeof(bytes), 0600, err);
    if (r == 0 && (renameat(store->memory, name, store->memory, id) < 0 ||
                   fsync(store->memory) < 0))
        r = kh_fail_errno(err, "cannot name the memory's directory");
    return r;
}

static int
add_size(int dir, const char *name, void *arg, struct kh_error *err)
{
    uint64_t *bytes = arg;
    struct stat st;

    (void)err;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        *bytes += (uint64_t)st.st_blocks * 512;
    return 0;
}

uint64_t
kh_memory_bytes(int dir)
{
    uint64_t bytes = 0;

    (void)kh_memory_each(dir, add_size, &bytes, NULL);
    return bytes;
}

static int
add_pages(int dir, const char *name, void *arg, struct kh_error *err)
{
    uint64_t *bytes = arg;
    struct stat st;

    (void)err;
    if (!strncmp(name, "pages-", 6) &&
        fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        *bytes += (uint64_t)st.st_size;
    return 0;
}

uint64_t
kh_memory_pages(int dir)
{
    uint64_t bytes = 0;

    (void)kh_memory_each(dir, add_pages, &bytes, NULL);
    return bytes;
}

int
kh_memory_birth(int dir, struct kh_birth *ret_birth, struct kh_error *err)
{
    return kh_birth_read(dir, KH_BIRTH_FILE, ret_birth, err);
}

int
kh_memory_open(const struct kh_store *store, const char *id, char path[KH_MEMORY_PATH],
               struct kh_birth *ret_birth, uint64_t *ret_bytes, struct kh_error *err)
{
    AUTO_FD int dir = kh_memory_at(store, id);
    struct kh_birth birth;
    int r;

    if (dir < 0)
        return kh_fail_errno(err, "cannot open the memory of '%s'", id);
    r = kh_memory_birth(dir, &birth, err);
    if (r < 0)
        return r;
    if (ret_bytes)
        *ret_bytes = kh_memory_bytes(dir);
    if (ret_birth)
        *ret_birth = birth;
    if (path)
        snprintf(path, KH_MEMORY_PATH, "%s/memory/%s", store->path, id);
    return STEAL_FD(dir);
}

/* ---- away ---- */

static void
drop_named(const struct kh_store *store, const char *name)
{
    char away[32];
    uint64_t number;
    AUTO_FD int dir = -1;

    /* Another's may be there still, of the same name. */
    kh_random(&number, sizeof(number));
    snprintf(away, sizeof(away), "memory-%016" PRIx64, number);
    if (renameat(store->memory, name, store->trash, away) == 0) {
        (void)kh_trash_delete(store, away, NULL, NULL, NULL, NULL);
    } else if (errno == EXDEV) { /* STATE/memory is a disk of its own */
        dir = kh_memory_at(store, name);
        if (dir >= 0 && kh_tree_empty(dir, NULL) == 0)
            (void)unlinkat(store->memory, name, AT_REMOVEDIR);
    }
}

void
kh_memory_drop(const struct kh_store *store, const char *id)
{
    char name[KH_ID_TEXT + 8];

    snprintf(name, sizeof(name), "%s" KH_MEMORY_NEW, id);
    drop_named(store, name);
    drop_named(store, id);
}

void
kh_memory_sweep(const struct kh_store *store, bool (*keep)(void *arg, const char *id),
                void *arg)
{
    int fd = kh_memory_at(store, ".");
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        AUTO_FD int writer = -1;

        if (entry->d_name[0] == '.')
            continue;
        if (strchr(entry->d_name, '.')) {
            /* Its processes must not be touched before CRIU has let go of them. */
            writer = kh_memory_at(store, entry->d_name);
            if (writer >= 0)
                (void)flock(writer, LOCK_EX);
            drop_named(store, entry->d_name);
        } else if (!keep(arg, entry->d_name)) {
            drop_named(store, entry->d_name);
        }
    }
    if (dir)
        closedir(dir);
}
