#include "sandbox/host/subvolume.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clean.h"

int
kh_subvolume_account(int dir, struct kh_error *err)
{
    struct btrfs_ioctl_quota_ctl_args args = {.cmd = BTRFS_QUOTA_CTL_ENABLE};

    /* EEXIST is what some kernels say when it does already. */
    if (ioctl(dir, BTRFS_IOC_QUOTA_CTL, &args) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot switch on btrfs quotas");
    return 0;
}

int
kh_subvolume_make(int parent, const char *name, uint64_t bytes, struct kh_error *err)
{
    struct btrfs_qgroup_inherit inherit = {.flags = BTRFS_QGROUP_INHERIT_SET_LIMITS};
    struct btrfs_ioctl_vol_args_v2 args = {.flags = BTRFS_SUBVOL_QGROUP_INHERIT};

    inherit.lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER;
    inherit.lim.max_rfer = bytes ? bytes : UINT64_MAX;
    args.size = sizeof(inherit);
    args.qgroup_inherit = &inherit;
    snprintf(args.name, sizeof(args.name), "%s", name);
    if (ioctl(parent, BTRFS_IOC_SUBVOL_CREATE_V2, &args) < 0)
        return kh_fail_errno(err, "cannot make a disk for '%s'", name);
    return 0;
}

/* The kernel gives a snapshot the limit of what it is of, whatever is asked for. */
static int
drop_limit(int parent, const char *name, struct kh_error *err)
{
    AUTO_FD int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return dir < 0 ? kh_fail_errno(err, "cannot open the disk '%s'", name)
                   : kh_subvolume_limit(dir, 0, err);
}

int
kh_subvolume_snapshot(int parent, int source, const char *name, bool readonly,
                      struct kh_error *err)
{
    struct btrfs_ioctl_vol_args_v2 args = {.fd = source};

    if (readonly)
        args.flags |= BTRFS_SUBVOL_RDONLY;
    snprintf(args.name, sizeof(args.name), "%s", name);
    if (ioctl(parent, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0)
        return kh_fail_errno(err, "cannot snapshot a disk");
    return readonly ? 0 : drop_limit(parent, name, err);
}

int
kh_subvolume_keep(int dir, struct kh_error *err)
{
    uint64_t flags = BTRFS_SUBVOL_RDONLY;

    return ioctl(dir, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) < 0
               ? kh_fail_errno(err, "cannot make a disk read-only")
               : 0;
}

int
kh_subvolume_limit(int dir, uint64_t bytes, struct kh_error *err)
{
    struct btrfs_ioctl_qgroup_limit_args args = {0};

    args.lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER;
    args.lim.max_rfer = bytes ? bytes : UINT64_MAX;
    if (ioctl(dir, BTRFS_IOC_QGROUP_LIMIT, &args) < 0)
        return kh_fail_errno(err, "cannot limit a sandbox's disk");
    return 0;
}

int
kh_subvolume_number(int dir, uint64_t *ret_number, struct kh_error *err)
{
    struct btrfs_ioctl_ino_lookup_args args = {.objectid = BTRFS_FIRST_FREE_OBJECTID};

    if (ioctl(dir, BTRFS_IOC_INO_LOOKUP, &args) < 0)
        return kh_fail_errno(err, "cannot identify a sandbox's disk");
    *ret_number = args.treeid;
    return 0;
}

/* What the quota tree says of it: one item, whose key is the number. */
int
kh_subvolume_used(int dir, uint64_t *ret_bytes, struct kh_error *err)
{
    struct btrfs_ioctl_search_args args = {0};
    struct btrfs_ioctl_search_header header;
    struct btrfs_qgroup_info_item item;
    uint64_t number = 0;
    int r = kh_subvolume_number(dir, &number, err);

    if (r < 0)
        return r;
    args.key = (struct btrfs_ioctl_search_key){
        .tree_id = BTRFS_QUOTA_TREE_OBJECTID,
        .min_type = BTRFS_QGROUP_INFO_KEY,
        .max_type = BTRFS_QGROUP_INFO_KEY,
        .min_offset = number,
        .max_offset = number,
        .max_transid = UINT64_MAX,
        .nr_items = 1,
    };
    if (ioctl(dir, BTRFS_IOC_TREE_SEARCH, &args) < 0)
        return kh_fail_errno(err, "cannot look up what a sandbox's disk holds");
    memcpy(&header, args.buf, sizeof(header));
    if (!args.key.nr_items || header.len < sizeof(item))
        return kh_fail(err, ENODATA, "a sandbox's disk is not accounted");
    memcpy(&item, args.buf + sizeof(header), sizeof(item));
    *ret_bytes = le64toh(item.rfer);
    return 0;
}

int
kh_subvolume_delete(int parent, const char *name, struct kh_error *err)
{
    struct btrfs_ioctl_vol_args args = {0};

    snprintf(args.name, sizeof(args.name), "%s", name);
    if (ioctl(parent, BTRFS_IOC_SNAP_DESTROY, &args) < 0)
        return kh_fail_errno(err, "cannot delete the disk of '%s'", name);
    return 0;
}

int
kh_subvolume_close_account(int dir, uint64_t number)
{
    struct btrfs_ioctl_qgroup_create_args args = {.create = 0, .qgroupid = number};

    return ioctl(dir, BTRFS_IOC_QGROUP_CREATE, &args) < 0 ? -errno : 0;
}
