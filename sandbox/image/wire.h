/* wire: what kernelhost-image and its helper kernelhost-import say to each other.
 *
 * kernelhost-image is the operator's (root, trusted) and owns the store.
 * kernelhost-import reads the foreign archive, confined, and asks for what it needs:
 * a blob by its name, an empty directory for a layer. One fixed-size message a
 * datagram over a SEQPACKET pair; the helper is hostile from its first foreign byte
 * on, so every message of it is checked as if it were.
 *
 *     image -> import   START   limits; with the archive, if it is a file
 *     import -> image   OPEN    name of a file in an OCI layout; answered by OPEN
 *     import -> image   LAYER   answered by LAYER with an empty directory
 *     import -> image   PROGRESS, DONE, FAIL
 */
#ifndef KH_IMAGE_WIRE_H
#define KH_IMAGE_WIRE_H

#include <stdint.h>

#include "base/error.h"

#define KH_IMPORT_FD 3 /* the helper's end */

/* On directories that hide what is below them, until they are sealed (seal.h):
 * the helper may not set the attribute that overlayfs looks at. */
#define KH_IMPORT_OPAQUE "user.kernelhost.opaque"

enum kh_import_kind {
    KH_IMPORT_START = 1,
    KH_IMPORT_OPEN,
    KH_IMPORT_LAYER,
    KH_IMPORT_PROGRESS,
    KH_IMPORT_DONE,
    KH_IMPORT_FAIL,
    KH_IMPORT_KINDS
};

struct kh_import_limits {
    uint64_t bytes;   /* of all unpacked files, with their holes */
    uint64_t entries; /* in all layers */
    uint64_t ratio;   /* unpacked bytes to one of the archive, above 256 MiB */
    uint64_t seconds;
};

/* What was read, and what was left out of it. */
struct kh_import_tally {
    uint64_t bytes, entries;
    uint64_t devices; /* devices, FIFOs, sockets: not made */
    uint64_t setid;   /* files that lost their set-id bits */
    uint64_t owners;  /* entries whose owner is above 65,535: nobody's */
    uint64_t xattrs;  /* attributes left out */
};

struct kh_import_message {
    uint32_t kind;
    uint32_t layer, layers; /* PROGRESS: this one of so many */
    uint32_t archive;       /* START: a descriptor of a file comes along */
    int32_t code;           /* an errno: OPEN's answer, FAIL */
    struct kh_import_limits limits;
    struct kh_import_tally tally;
    char text[KH_ERROR_TEXT_MAX]; /* START: which of several images; OPEN: a name;
                                     DONE: a digest; FAIL: why */
};

#define KH_IMPORT_LAYERS_MAX 60 /* of an archive; one of ours goes on top */

#endif
