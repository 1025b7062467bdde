/* mounts: new filesystems as descriptors, attached by descriptors. */
#ifndef KH_HOST_MOUNTS_H
#define KH_HOST_MOUNTS_H

#include "base/error.h"

struct kh_mount_option {
    const char *key;   /* NULL ends the list */
    const char *value; /* NULL: a flag */
};

/* A new, detached mount of filesystem TYPE with MOUNT_ATTR_* ATTRIBUTES. Returns
 * its descriptor (the caller closes it) or -errno. */
int kh_mount_new(const char *type, const struct kh_mount_option *options,
                 unsigned attributes, struct kh_error *err);

/* Attaches detached MOUNT onto the open TARGET; NAME is for the error text. */
int kh_mount_onto(int mount, int target, const char *name, struct kh_error *err);

/* Attaches another view of SOURCE (an open file or directory of an attached
 * mount) onto TARGET, read-only, nosuid, nodev, noexec. */
int kh_mount_view(int source, int target, const char *name, struct kh_error *err);

/* Makes one attached mount read-only from here on. */
int kh_mount_seal(int mount, struct kh_error *err);

#endif
