#include "sandbox/archive/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/subvolume.h"
#include "sandbox/host/tree.h"

static int
open_below(int dir, const char *name, struct kh_error *err)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? kh_fail_errno(err, "cannot open '%s'", name) : fd;
}

/* Who holds the lock of a state directory is its kernelhostd. */
static pid_t
find_host(int state)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    AUTO_FD int fd = openat(state, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
        return 0;
    return lock.l_pid;
}

static int
open_disk(struct kh_place *place, struct kh_error *err)
{
    pid_t host = find_host(place->state);
    AUTO_FREE char *real = realpath(place->path, NULL);
    AUTO_FREE char *path = NULL;
    struct stat state, disk;
    struct statfs fs;

    if (host <= 0)
        return kh_fail(err, EHOSTDOWN, "no host runs for '%s' (hint: kernelhost serve)",
                       place->path);
    if (!real || fstat(place->state, &state) < 0)
        return kh_fail_errno(err, "cannot find '%s'", place->path);
    /* A link in the path would be followed here, and not there. */
    path = kh_xasprintf("/proc/%d/root%s/disk", (int)host, real);
    place->disk = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->disk < 0 || fstat(place->disk, &disk) < 0 ||
        disk.st_dev == state.st_dev || fstatfs(place->disk, &fs) < 0 ||
        fs.f_type != BTRFS_SUPER_MAGIC)
        return kh_fail(err, ENOTSUP,
                       "this host has no disk that snapshots can be on (hint: "
                       "kernelhost doctor tells what is missing)");
    return 0;
}

int
kh_place_open(const char *path, struct kh_place *ret_place, struct kh_error *err)
{
    struct kh_place place = {path, -1, -1, -1, -1};
    int r = 0;

    place.state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place.state < 0)
        return kh_fail(err, EHOSTDOWN, "no host runs for '%s' (hint: kernelhost serve)",
                       path);
    r = place.snapshots = open_below(place.state, "snapshots", err);
    if (r >= 0)
        r = place.images = open_below(place.state, "images", err);
    if (r >= 0)
        r = open_disk(&place, err);
    if (r < 0)
        kh_place_close(&place);
    else
        *ret_place = place;
    return r < 0 ? r : 0;
}

void
kh_place_close(struct kh_place *place)
{
    kh_fd_close(&place->disk);
    kh_fd_close(&place->images);
    kh_fd_close(&place->snapshots);
    kh_fd_close(&place->state);
}

int
kh_place_find(const struct kh_place *place, const char *name,
              struct kh_snapshot_record *ret_record, struct kh_error *err)
{
    int fd = openat(place->snapshots, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct kh_snapshot_record record;
    struct dirent *entry;
    bool found = false;

    if (!list)
        return kh_fail_errno(err, "cannot list the snapshots");
    while (!found && (entry = readdir(list)))
        found = kh_id_text_valid(entry->d_name) &&
                kh_snapshot_read(place->snapshots, entry->d_name, entry->d_name,
                                 &record, NULL) == 0 &&
                !strcmp(record.name, name);
    closedir(list);
    if (!found)
        return kh_fail(err, ENOENT,
                       "there is no snapshot '%s' (hint: kernelhost snapshot ls)",
                       name);
    *ret_record = record;
    return 0;
}

/* ---- importing ---- */

static void
name_directory(const char *id, char *out, size_t size)
{
    snprintf(out, size, KH_SNAPSHOT_IMPORT "%s", id);
}

int
kh_import_begin(const struct kh_place *place, uint64_t bytes,
                struct kh_import *ret_import, struct kh_error *err)
{
    struct kh_import import = {.disk = -1};
    int r;

    kh_random(import.record.id, sizeof(import.record.id));
    kh_id_text(import.record.id, import.id);
    name_directory(import.id, import.directory, sizeof(import.directory));
    if (mkdirat(place->snapshots, import.directory, 0700) < 0)
        return kh_fail_errno(err, "cannot make '%s'", import.directory);
    r = kh_subvolume_make(place->disk, import.id, bytes, err);
    if (r == 0)
        r = import.disk = open_below(place->disk, import.id, err);
    if (r >= 0 && mkdirat(import.disk, "work", 0700) < 0)
        r = kh_fail_errno(err, "cannot make a directory");
    if (r < 0) {
        kh_fd_close(&import.disk);
        kh_import_undo(place, import.id);
        return r;
    }
    *ret_import = import;
    return 0;
}

int
kh_import_finish(const struct kh_place *place, struct kh_import *import,
                 struct kh_error *err)
{
    AUTO_FD int dir = open_below(place->snapshots, import->directory, err);
    char data[KH_SNAPSHOT_RECORD_SIZE];

    if (dir < 0)
        return dir;
    if (syncfs(import->disk) < 0)
        return kh_fail_errno(err, "cannot write what was unpacked");
    kh_snapshot_encode(&import->record, data, sizeof(data));
    return kh_fd_replace_file(dir, "record", data, sizeof(data), 0600, err);
}

void
kh_import_undo(const struct kh_place *place, const char *id)
{
    char directory[KH_ID_TEXT + 8], gone[KH_ID_TEXT + 16];
    AUTO_FD int dir = -1;

    /* Of kernelhostd, which may be about to make a snapshot of it, and this, one is
     * first to rename it. */
    name_directory(id, directory, sizeof(directory));
    snprintf(gone, sizeof(gone), "%s.gone", directory);
    if (renameat(place->snapshots, directory, place->snapshots, gone) < 0)
        return; /* it is a snapshot, or gone */
    (void)kh_fault("import-gone", NULL);
    (void)kh_subvolume_delete(place->disk, id, NULL);
    dir = open_below(place->snapshots, gone, NULL);
    if (dir >= 0)
        (void)kh_tree_empty(dir, NULL);
    (void)unlinkat(place->snapshots, gone, AT_REMOVEDIR);
}
