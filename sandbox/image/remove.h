/* remove: names, ids and layers that nothing needs any more. */
#ifndef KH_IMAGE_REMOVE_H
#define KH_IMAGE_REMOVE_H

#include "sandbox/image/shelf.h"

/* What a removal freed. */
struct kh_removed {
    unsigned images, layers;
    uint64_t bytes;
};

/* Removes NAME. -EBUSY, naming them, when sandboxes or snapshots need the image and it
 * has no other name. Then collects. The store is locked. */
int kh_remove_image(struct kh_shelf *shelf, const char *name,
                    struct kh_removed *ret_removed, struct kh_error *err);

/* Removes every image that has no name, sandbox or snapshot, and every layer that no
 * image lists. Does nothing (and says so) when there is a record that cannot be
 * read: nobody knows what it needs. The store is locked. */
int kh_remove_unused(struct kh_shelf *shelf, struct kh_removed *ret_removed,
                     struct kh_error *err);

#endif
