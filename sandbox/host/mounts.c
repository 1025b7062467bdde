#include "sandbox/host/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/clean.h"

/* The kernel leaves its own words in the filesystem context. */
static int
fail_fs(struct kh_error *err, int fs, const char *what, const char *type)
{
    char words[160];
    int code = errno;
    ssize_t n = read(fs, words, sizeof(words) - 1);

    errno = code;
    if (n <= 0)
        return kh_fail_errno(err, "cannot %s '%s'", what, type);
    words[n] = '\0';
    words[strcspn(words, "\n")] = '\0';
    return kh_fail(err, code, "cannot %s '%s': %s (%s)", what, type, strerror(code),
                   words);
}

int
kh_mount_new(const char *type, const struct kh_mount_option *options,
             unsigned attributes, struct kh_error *err)
{
    AUTO_FD int fs = fsopen(type, FSOPEN_CLOEXEC);
    int mount;

    if (fs < 0)
        return kh_fail_errno(err, "cannot open filesystem '%s'", type);
    for (; options && options->key; options++) {
        unsigned command = options->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

        if (fsconfig(fs, command, options->key, options->value, 0) < 0)
            return fail_fs(err, fs, "configure", type);
    }
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return fail_fs(err, fs, "create", type);
    mount = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    return mount < 0 ? fail_fs(err, fs, "mount", type) : mount;
}

int
kh_mount_onto(int mount, int target, const char *name, struct kh_error *err)
{
    if (move_mount(mount, "", target, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return kh_fail_errno(err, "cannot attach '%s'", name);
    return 0;
}

int
kh_mount_view(int source, int target, const char *name, struct kh_error *err)
{
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                    MOUNT_ATTR_NOEXEC,
    };
    AUTO_FD int view =
        open_tree(source, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (view < 0 || mount_setattr(view, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return kh_fail_errno(err, "cannot view '%s'", name);
    return kh_mount_onto(view, target, name, err);
}

int
kh_mount_seal(int mount, struct kh_error *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    if (mount_setattr(mount, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return kh_fail_errno(err, "cannot make a mount read-only");
    return 0;
}
