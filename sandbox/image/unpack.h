/* unpack: the entries of one layer's tar as files below a directory.
 *
 * Runs in the confined helper; ROOT is an idmapped mount of an empty directory, and
 * the only place that can be written. Each entry is reached by openat2 from ROOT
 * through real directories of this layer only: an entry below a link is refused, in
 * whatever order the two come (docker and containerd follow the link within the
 * root; what they write nowadays never needs it). Devices, FIFOs and sockets are
 * left out, set-id bits dropped, and of the extended attributes only the user's
 * kept, without those that mean something to overlayfs or to us. OCI's whiteouts
 * become overlayfs's. */
#ifndef KH_IMAGE_UNPACK_H
#define KH_IMAGE_UNPACK_H

#include <archive.h>

#include "sandbox/image/view.h"
#include "sandbox/image/wire.h"

struct kh_unpack {
    int root;
    const struct kh_view *below; /* the layers under this one */
    const struct kh_import_limits *limits;
    struct kh_import_tally *tally; /* of the whole import */
    uint64_t entries;              /* of this layer: made, or marks */
    /* Called now and then. */
    int (*progress)(void *arg, struct kh_error *err);
    void *arg;
};

/* Makes what the next entry of TAR says. Returns 1, 0 at the end; -EIO when TAR
 * could not be read (its caller knows why); any other error with its text. */
int kh_unpack_next(struct kh_unpack *unpack, struct archive *tar, struct kh_error *err);

/* Opens the directory PATH of the layer; what is missing of it is made, like the
 * directory of that name in the layers below, else 0755 and root's. */
int kh_unpack_directory(struct kh_unpack *unpack, const char *path,
                        struct kh_error *err);

/* DIR hides all that the layers below have in it. Returns -1 and errno. */
int kh_unpack_hide_below(int dir);

/* DIR gets the time of ST again: what was put into it is no news. */
int kh_unpack_keep_time(int dir, const struct stat *st, struct kh_error *err);

#endif
