/* view: the layers of an image as the one tree that overlayfs makes of them, without
 * mounting it.
 *
 * Read-only. Every step is an openat2 below a layer's directory that follows no link;
 * links are followed here, inside the tree, as a process in a sandbox would. So it may
 * look at trees that somebody else made. */
#ifndef KH_IMAGE_VIEW_H
#define KH_IMAGE_VIEW_H

#include <sys/stat.h>

#include "sandbox/image/path.h"

#define KH_VIEW_LAYERS 64

struct kh_view {
    int layer[KH_VIEW_LAYERS]; /* directories, top first; borrowed */
    int layers;
    const char *opaque; /* the attribute that makes a directory opaque */
};

/* Opens the clean relative PATH (O_PATH), which may be a link itself. Returns a
 * descriptor, or -ENOENT; -ELOOP when a directory of it is a link, -ENOTDIR when it
 * is anything else. */
int kh_view_open(const struct kh_view *view, const char *path, struct stat *ret_stat);

/* The same for any path inside, with links followed; and its name without links. */
int kh_view_find(const struct kh_view *view, const char *path,
                 char ret_path[KH_PATH_MAX + 1], struct stat *ret_stat);

/* True for overlayfs's mark that a name of a layer below is gone. */
bool kh_view_whiteout(const struct stat *st);

#endif
