/* What a sandbox writes: upper/ and work/, wherever they are. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/store_own.h"
#include "sandbox/host/sys.h"

static int
put_text(int dir, const char *name, const char *text, struct kh_error *err)
{
    AUTO_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    int r = fd < 0 ? -errno : kh_fd_write_full(fd, text, strlen(text));

    return r < 0 ? kh_fail(err, -r, "cannot write '%s': %s", name, strerror(-r)) : 0;
}

char *
kh_store_hostname(const char *name)
{
    return kh_xasprintf("%s\n", name);
}

char *
kh_store_hosts(const char *name)
{
    return kh_xasprintf("127.0.0.1\tlocalhost\n"
                        "::1\tlocalhost ip6-localhost\n"
                        "127.0.0.1\t%s\n",
                        name);
}

/* ETC is the upper's, and has neither file. */
static int
put_names(int etc, const char *name, struct kh_error *err)
{
    AUTO_FREE char *host = kh_store_hostname(name);
    AUTO_FREE char *hosts = kh_store_hosts(name);
    int r = put_text(etc, "hostname", host, err);

    return r < 0 ? r : put_text(etc, "hosts", hosts, err);
}

/* The upper is new and nobody has been inside: its paths are our own. */
static int
fill_box(int box, const char *name, struct kh_error *err)
{
    AUTO_FD int etc = -1;

    if (mkdirat(box, "upper", 0755) < 0 || mkdirat(box, "work", 0700) < 0 ||
        mkdirat(box, "upper/etc", 0755) < 0)
        return kh_fail_errno(err, "cannot make the sandbox's disk");
    etc = openat(box, "upper/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (etc < 0)
        return kh_fail_errno(err, "cannot open the sandbox's disk");
    return put_names(etc, name, err);
}

/* The disk is nobody's yet, but what is on it was a sandbox's: no link of it is
 * followed, and nothing of it written to. The two files are made anew. */
static int
rename_box(int disk, const char *name, struct kh_error *err)
{
    AUTO_FD int etc = kh_sys_open_in(disk, "upper/etc", O_RDONLY | O_DIRECTORY);

    if (etc < 0)
        return kh_fail_errno(err, "cannot open '/etc' of the snapshot");
    if ((unlinkat(etc, "hostname", 0) < 0 && errno != ENOENT) ||
        (unlinkat(etc, "hosts", 0) < 0 && errno != ENOENT))
        return kh_fail_errno(err, "cannot name the host in '/etc' of the snapshot");
    return put_names(etc, name, err);
}

/* Empty, or what the snapshot FROM holds. */
static int
make_disk(struct kh_store *store, const uint8_t id[KH_ID_SIZE], const char *text,
          const char *name, const char *from, struct kh_error *err)
{
    AUTO_FD int disk = -1;
    int r;

    if (!from) {
        disk = store->disk ? kh_disk_make(store->disk, text, err)
                           : kh_store_open_box(store, id, err);
        return disk < 0 ? disk : fill_box(disk, name, err);
    }
    r = kh_disk_copy(store->disk, from, text, false, err);
    if (r == 0)
        r = kh_fault("snapshot-cloned", err);
    if (r == 0)
        r = disk = kh_disk_get(store->disk, text, err);
    return r < 0 ? r : rename_box(disk, name, err);
}

static int
prepare(struct kh_store *store, const uint8_t id[KH_ID_SIZE], const char *name,
        const char *from, struct kh_error *err)
{
    char text[KH_ID_TEXT];
    mode_t mask = umask(022);
    int r = 0;

    kh_id_text(id, text);
    if (mkdirat(store->sandboxes, text, 0700) < 0)
        r = kh_fail_errno(err, "cannot make the directory of sandbox '%s'", name);
    if (r == 0) {
        r = make_disk(store, id, text, name, from, err);
        if (r < 0)
            (void)kh_store_put_into_trash(store, text);
    }
    umask(mask);
    return r;
}

int
kh_store_prepare(struct kh_store *store, const uint8_t id[KH_ID_SIZE], const char *name,
                 struct kh_error *err)
{
    return prepare(store, id, name, NULL, err);
}

int
kh_store_prepare_from(struct kh_store *store, const uint8_t id[KH_ID_SIZE],
                      const char *name, const char *from, struct kh_error *err)
{
    return prepare(store, id, name, from, err);
}

int
kh_store_open_disk(struct kh_store *store, const struct kh_record *record,
                   uint64_t slack, struct kh_error *err)
{
    AUTO_FD int box = kh_store_open_box(store, record->id, err);
    char text[KH_ID_TEXT];
    AUTO_FD int disk = -1;
    mode_t mask;
    int r = 0;

    /* Made by a host without a disk for all: it stays where it is. */
    if (box < 0 || !store->disk || faccessat(box, "upper", F_OK, 0) == 0)
        return STEAL_FD(box);
    kh_record_place(record, text);
    disk = kh_disk_get(store->disk, text, NULL);
    if (disk < 0 && disk != -ENOENT)
        return kh_disk_get(store->disk, text, err);
    if (disk < 0) {
        mask = umask(022);
        disk = kh_disk_make(store->disk, text, err);
        r = disk < 0 ? disk : fill_box(disk, record->name, err);
        umask(mask);
    }
    if (disk >= 0 && r == 0)
        r = kh_disk_limit(store->disk, text,
                          record->limits.disk ? record->limits.disk + slack : 0, err);
    return disk < 0 ? disk : r < 0 ? r : STEAL_FD(disk);
}
