#include "sandbox/host/kit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "protocol/link/init.h"
#include "sandbox/host/tree.h"

/* Directories the kit has besides its files. Ids are those inside. */
static const struct {
    const char *path;
    mode_t mode;
    uid_t owner;
} dirs[] = {
    {".kernelhost/run", 0700, 0},
    {"home", 0755, 0},
    {"home/user", 0755, KH_USER_UID},
    {"workspace", 0755, KH_USER_UID},
};

static int
check_init(int kit, struct kh_error *err)
{
    if (faccessat(kit, &KH_INIT_BINARY[1], X_OK, 0) < 0)
        return kh_fail_errno(err, "the kit has no '%s'", KH_INIT_BINARY);
    return 0;
}

int
kh_kit_check(const char *source, struct kh_error *err)
{
    AUTO_FD int from = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t hash = 0;
    int r = from < 0 ? kh_fail_errno(err, "cannot open it") : check_init(from, err);

    if (r == 0)
        r = kh_tree_hash(from, &hash, err);
    return r < 0 ? kh_fail_in(err, "kit '%s' (hint: make install)", source) : 0;
}

static int
fill(int source, int kit, struct kh_error *err)
{
    size_t i;
    int r = kh_tree_copy(source, kit, err);

    for (i = 0; r == 0 && i < KH_COUNT(dirs); i++)
        if (mkdirat(kit, dirs[i].path, dirs[i].mode) < 0 ||
            fchmodat(kit, dirs[i].path, dirs[i].mode, 0) < 0 ||
            fchownat(kit, dirs[i].path, dirs[i].owner, dirs[i].owner,
                     AT_SYMLINK_NOFOLLOW) < 0)
            r = kh_fail_errno(err, "cannot make '%s' of the kit", dirs[i].path);
    if (r == 0 && fchmod(kit, 0755) < 0)
        r = kh_fail_errno(err, "cannot set the mode of the kit");
    return r < 0 ? r : check_init(kit, err);
}

static int
copy_in(const struct kh_store *store, int source, const char *version,
        struct kh_error *err)
{
    AUTO_FD int kit = -1;
    int r;

    if (mkdirat(store->kit, "new", 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make the kit's directory");
    kit = openat(store->kit, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (kit < 0)
        return kh_fail_errno(err, "cannot open the kit's directory");
    r = kh_tree_empty(kit, err); /* a copy that was cut off */
    if (r == 0)
        r = fill(source, kit, err);
    if (r == 0 &&
        (syncfs(kit) < 0 || renameat(store->kit, "new", store->kit, version) < 0))
        r = kh_fail_errno(err, "cannot put the kit in place");
    return r;
}

int
kh_kit_open(const struct kh_store *store, const char *source,
            char ret_version[KH_KIT_SIZE], struct kh_error *err)
{
    AUTO_FD int from = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char version[KH_KIT_SIZE];
    uint64_t hash = 0;
    int kit, r;

    if (from < 0)
        return kh_fail_errno(err, "cannot open the kit '%s' (hint: make install)",
                             source);
    r = kh_tree_hash(from, &hash, err);
    if (r < 0)
        return kh_fail_in(err, "kit '%s'", source);
    snprintf(version, sizeof(version), "%016" PRIx64, hash);
    if (faccessat(store->kit, version, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        r = copy_in(store, from, version, err);
        if (r < 0)
            return kh_fail_in(err, "kit '%s'", source);
    }
    kit = openat(store->kit, version, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (kit < 0)
        return kh_fail_errno(err, "cannot open the kit");
    memcpy(ret_version, version, sizeof(version));
    return kit;
}

void
kh_kits_sweep(const struct kh_store *store,
              bool (*keep)(void *arg, const char *version), void *arg)
{
    int fd = openat(store->kit, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (strspn(entry->d_name, "0123456789abcdef") == KH_KIT_SIZE - 1 &&
            !entry->d_name[KH_KIT_SIZE - 1] && !keep(arg, entry->d_name))
            (void)renameat(store->kit, entry->d_name, store->trash, entry->d_name);
    if (dir)
        closedir(dir);
}
