/* seal: from the directory that the confined helper filled to a layer of the store.
 *
 * Runs in kernelhost-image, after the helper is gone. The tree is read once more,
 * whole, without trust: only directories, files, links and overlayfs's whiteouts, ids
 * up to 65,535, no set-id bits on files, none of the kernel's attributes. Directories
 * that the helper marked get the attribute by which overlayfs hides what is below them.
 * The id of the layer is a digest of what is there, so that two layers are one if and
 * only if they hold the same, whatever their archives claimed. */
#ifndef KH_IMAGE_SEAL_H
#define KH_IMAGE_SEAL_H

#include <stdint.h>

#include "base/error.h"
#include "sandbox/host/store.h"

struct kh_sealed {
    char id[KH_ID_TEXT];
    uint64_t bytes;   /* of files, each once, with their holes */
    uint64_t entries; /* below the root */
};

/* Seals the tree at DIR (open, its root). GO_ON is asked now and then, and ends it
 * with its error. -EBADMSG when there is something that must not be. */
int kh_seal(int dir, int (*go_on)(struct kh_error *err), struct kh_sealed *ret_sealed,
            struct kh_error *err);

/* Only counts, in a layer that was sealed or built. */
int kh_seal_measure(int dir, struct kh_sealed *ret_sealed, struct kh_error *err);

#endif
