#include "sandbox/host/store_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

void
kh_id_text(const uint8_t id[KH_ID_SIZE], char out[KH_ID_TEXT])
{
    int i;

    for (i = 0; i < KH_ID_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", id[i]);
}

bool
kh_id_text_valid(const char *text)
{
    return strnlen(text, KH_ID_TEXT) == KH_ID_TEXT - 1 &&
           strspn(text, "0123456789abcdef") == KH_ID_TEXT - 1;
}

static int
open_dir(int parent, const char *name, mode_t mode, struct kh_error *err)
{
    AUTO_FD int fd = -1;
    struct stat st;

    if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make directory '%s'", name);
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return kh_fail_errno(err, "cannot open directory '%s'", name);
    if (st.st_uid != 0)
        return kh_fail(err, EPERM,
                       "directory '%s' belongs to user %u (hint: chown root)", name,
                       st.st_uid);
    if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
        return kh_fail_errno(err, "cannot set the mode of '%s'", name);
    return STEAL_FD(fd);
}

/* A lock of the process: not inherited by a child, which may outlive us by a moment,
 * and kept over exec as long as the descriptor is. */
static int
take_lock(struct kh_store *store, struct kh_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat ours, there;

    if (store->lock < 0)
        store->lock = openat(store->state, "lock",
                             O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock < 0)
        return kh_fail_errno(err, "cannot open the lock of '%s'", store->path);
    if (fstat(store->lock, &ours) < 0 ||
        fstatat(store->state, "lock", &there, AT_SYMLINK_NOFOLLOW) < 0 ||
        ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
        return kh_fail(err, EBADF, "that is not the lock of '%s'", store->path);
    if (fcntl(store->lock, F_SETLK, &lock) < 0)
        return kh_fail(err, EBUSY,
                       "another host runs on '%s' (hint: stop it, or give this one "
                       "another --state)",
                       store->path);
    return 0;
}

int
kh_store_open(const char *path, int lock, struct kh_store *ret_store,
              struct kh_error *err)
{
    struct kh_store store = {.path = ""};
    const struct {
        const char *name;
        mode_t mode;
        int *fd;
    } dirs[] = {
        {"layers", 0700, &store.layers},
        {"images", 0700, &store.images},
        {"sandboxes", 0700, &store.sandboxes},
        {"snapshots", 0700, &store.snapshots},
        {"damaged", 0700, &store.damaged},
        {"trash", 0700, &store.trash},
        {"kit", 0700, &store.kit},
        {"memory", 0700, &store.memory},
        {"run", 0711, &store.run},
    };
    size_t i;
    int r;

    if (path[0] != '/' || strlen(path) > KH_STATE_PATH_MAX)
        return kh_fail(err, ENAMETOOLONG,
                       "state directory '%s' must be an absolute path of at most %d "
                       "bytes (hint: sockets below it must fit into 107)",
                       path, KH_STATE_PATH_MAX);
    snprintf(store.path, sizeof(store.path), "%s", path);
    for (i = 0; i < KH_COUNT(dirs); i++)
        *dirs[i].fd = -1;
    store.lock = lock;
    /* 0711: the gateway and clients pass through to run/, nobody lists it. */
    store.state = open_dir(AT_FDCWD, path, 0711, err);
    r = store.state < 0 ? store.state : take_lock(&store, err);
    for (i = 0; r == 0 && i < KH_COUNT(dirs); i++) {
        *dirs[i].fd = open_dir(store.state, dirs[i].name, dirs[i].mode, err);
        r = *dirs[i].fd < 0 ? *dirs[i].fd : 0;
    }
    if (r == 0 && mkdirat(store.state, "mnt", 0700) < 0 && errno != EEXIST)
        r = kh_fail_errno(err, "cannot make directory 'mnt'");
    if (r < 0) {
        kh_store_close(&store);
        return kh_fail_in(err, "state directory '%s'", path);
    }
    *ret_store = store;
    return 0;
}

void
kh_store_close(struct kh_store *store)
{
    int *const fds[] = {&store->layers,    &store->images,  &store->sandboxes,
                        &store->snapshots, &store->damaged, &store->trash,
                        &store->kit,       &store->memory,  &store->run,
                        &store->state,     &store->lock};
    size_t i;

    for (i = 0; i < KH_COUNT(fds); i++)
        kh_fd_close(fds[i]);
}

int
kh_store_open_box(struct kh_store *store, const uint8_t id[KH_ID_SIZE],
                  struct kh_error *err)
{
    char text[KH_ID_TEXT];
    int fd;

    kh_id_text(id, text);
    fd =
        openat(store->sandboxes, text, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? kh_fail_errno(err, "cannot open the disk of '%s'", text) : fd;
}

int
kh_store_save(struct kh_store *store, const struct kh_record *record,
              struct kh_error *err)
{
    AUTO_FD int box = kh_store_open_box(store, record->id, err);
    char data[KH_RECORD_SIZE];

    if (box < 0)
        return box;
    kh_record_encode(record, data, sizeof(data));
    return kh_fd_replace_file(box, "record", data, sizeof(data), 0600, err);
}

int
kh_store_put_into_trash(struct kh_store *store, const char *id)
{
    if (renameat(store->sandboxes, id, store->trash, id) < 0)
        return -errno;
    return store->disk ? kh_disk_drop(store->disk, id, NULL) : 0;
}

/* Nothing is replaced, so nothing is renamed: the file gets its name when it is
 * whole. On the filesystems that can idmap (ext4, xfs, btrfs) fsync of a new file
 * makes the names that lead to it last as well, and one flush of the disk is all
 * that a create costs. What a power cut leaves is no file or an empty one: see
 * load_one. */
int
kh_store_create(struct kh_store *store, const struct kh_record *record,
                struct kh_error *err)
{
    AUTO_FD int box = kh_store_open_box(store, record->id, err);
    AUTO_FD int fd =
        box < 0 ? -1 : openat(box, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    char data[KH_RECORD_SIZE], path[40];
    int r;

    if (box < 0)
        return box;
    if (fd < 0)
        return kh_fail_errno(err, "cannot make the record of '%s'", record->name);
    kh_record_encode(record, data, sizeof(data));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    r = kh_fd_write_full(fd, data, sizeof(data));
    if (r == 0 &&
        (linkat(AT_FDCWD, path, box, "record", AT_SYMLINK_FOLLOW) < 0 || fsync(fd) < 0))
        r = -errno;
    return r < 0 ? kh_fail(err, -r, "cannot write the record of '%s': %s", record->name,
                           strerror(-r))
                 : 0;
}

int
kh_store_forget(struct kh_store *store, const struct kh_record *record,
                struct kh_error *err)
{
    AUTO_FD int box = kh_store_open_box(store, record->id, err);

    if (box < 0)
        return box;
    if (unlinkat(box, "record", 0) < 0)
        return errno == ENOENT ? 0
                               : kh_fail_errno(err, "cannot remove the record of '%s'",
                                               record->name);
    if (fsync(box) < 0)
        return kh_fail_errno(err, "cannot remove the record of '%s'", record->name);
    return 0;
}

int
kh_store_discard(struct kh_store *store, const struct kh_record *record,
                 struct kh_error *err)
{
    char text[KH_ID_TEXT], place[KH_ID_TEXT];
    int r = kh_store_forget(store, record, err);

    kh_id_text(record->id, text);
    if (r == 0) {
        r = kh_store_put_into_trash(store, text);
        kh_record_place(record, place);
        if (r == 0 && store->disk && strcmp(place, text) != 0)
            r = kh_disk_drop(store->disk, place, NULL);
        if (r < 0)
            r = kh_fail(err, -r, "cannot discard the disk of '%s': %s", record->name,
                        strerror(-r));
    }
    return r;
}

/* Whole or not at all for whoever reads it after us; what a power cut makes of it
 * does not matter, since no process of before is there then. */
int
kh_store_save_birth(struct kh_store *store, const uint8_t id[KH_ID_SIZE],
                    const struct kh_birth *birth, struct kh_error *err)
{
    AUTO_FD int box = kh_store_open_box(store, id, err);
    AUTO_FD int fd = box < 0 ? -1
                             : openat(box, KH_BIRTH_FILE ".new",
                                      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char data[KH_BIRTH_SIZE];
    int r;

    if (box < 0)
        return box;
    kh_birth_encode(birth, data, sizeof(data));
    r = fd < 0 ? -errno : kh_fd_write_full(fd, data, sizeof(data));
    if (r == 0 && renameat(box, KH_BIRTH_FILE ".new", box, KH_BIRTH_FILE) < 0)
        r = -errno;
    return r < 0 ? kh_fail(err, -r, "cannot write a birth: %s", strerror(-r)) : 0;
}

int
kh_store_load_birth(struct kh_store *store, const uint8_t id[KH_ID_SIZE],
                    struct kh_birth *ret_birth, struct kh_error *err)
{
    AUTO_FD int box = kh_store_open_box(store, id, err);

    return box < 0 ? box : kh_birth_read(box, KH_BIRTH_FILE, ret_birth, err);
}

void
kh_store_drop_birth(struct kh_store *store, const uint8_t id[KH_ID_SIZE])
{
    AUTO_FD int box = kh_store_open_box(store, id, NULL);

    if (box >= 0)
        (void)unlinkat(box, KH_BIRTH_FILE, 0);
}

/* A damaged record is kept as damaged/ID.record; its disk stays in place. */
static void
set_aside(struct kh_store *store, int box, const char *id, const struct kh_error *why,
          void (*on_problem)(void *arg, const char *line), void *arg)
{
    char name[KH_ID_TEXT + 16], line[KH_ERROR_TEXT_MAX + 200];

    snprintf(name, sizeof(name), "%s.record", id);
    if (renameat(box, "record", store->damaged, name) < 0)
        snprintf(name, sizeof(name), "(still in place)");
    snprintf(line, sizeof(line),
             "sandbox record set aside id=%s reason='%s' moved='damaged/%s' "
             "disk='sandboxes/%s' (hint: put a good copy back as 'record' in that "
             "directory)",
             id, why->text, name, id);
    on_problem(arg, line);
}

/* Overlayfs makes work/work when it is mounted first. An empty record may be what a
 * power cut left of a create; of one that was mounted, it is taken for damage. */
static bool
never_mounted(const struct kh_store *store, int box, const char *id)
{
    AUTO_FD int disk = store->disk ? kh_disk_get(store->disk, id, NULL) : -1;

    return faccessat(box, "work/work", F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
           (disk < 0 || faccessat(disk, "work/work", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
}

static void
load_one(struct kh_store *store, const char *id,
         void (*each)(void *arg, const struct kh_record *),
         void (*on_problem)(void *arg, const char *line), void *arg)
{
    AUTO_FD int box =
        openat(store->sandboxes, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    AUTO_FREE char *data = NULL;
    struct kh_error err = {0};
    struct kh_record record;
    char own[KH_ID_TEXT];
    size_t size = 0;
    int r = box < 0
                ? -errno
                : kh_fd_read_file(box, "record", KH_RECORD_SIZE, &data, &size, &err);

    if (r == -ENOENT || (r == 0 && size == 0 && never_mounted(store, box, id))) {
        AUTO_FREE char *aside = kh_xasprintf("%s.record", id);

        /* Without a record a sandbox was never acknowledged. One whose record was
         * set aside keeps its disk. */
        if (faccessat(store->damaged, aside, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            (void)renameat(store->sandboxes, id, store->trash, id);
        return;
    }
    if (r == 0)
        r = kh_record_decode(data, size, &record, &err);
    if (r == 0) {
        kh_id_text(record.id, own);
        if (strcmp(own, id) != 0)
            r = kh_fail(&err, EBADMSG, "record belongs to another sandbox, '%s'", own);
    }
    if (r < 0)
        set_aside(store, box, id, &err, on_problem, arg);
    else
        each(arg, &record);
}

size_t
kh_store_count(const struct kh_store *store)
{
    int fd = openat(store->sandboxes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    size_t count = 0;

    while (dir && (entry = readdir(dir)))
        count += kh_id_text_valid(entry->d_name);
    if (dir)
        closedir(dir);
    return count;
}

int
kh_store_load(struct kh_store *store, void (*each)(void *arg, const struct kh_record *),
              void (*on_problem)(void *arg, const char *line), void *arg,
              struct kh_error *err)
{
    int fd = openat(store->sandboxes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir)
        return kh_fail_errno(err, "cannot list the sandboxes");
    while ((entry = readdir(dir)))
        if (kh_id_text_valid(entry->d_name))
            load_one(store, entry->d_name, each, on_problem, arg);
    closedir(dir);
    return 0;
}
