/* path: names that a foreign archive uses. Pure.
 *
 * A name is split into components before anything is done with it. Absolute names
 * and ".." are refused and not repaired: an archive that holds one was not made from
 * a root filesystem, and repairing is how CVE-2018-15664 and its kind began. */
#ifndef KH_IMAGE_PATH_H
#define KH_IMAGE_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define KH_PATH_MAX   4095 /* bytes of a whole name */
#define KH_PATH_DEPTH 64

/* What an entry of an OCI layer means by its last component. */
enum kh_path_kind {
    KH_PATH_PLAIN,
    KH_PATH_ROOT,     /* "." or "./": the layer's root itself */
    KH_PATH_WHITEOUT, /* ".wh.NAME": hides NAME of the layers below */
    KH_PATH_OPAQUE,   /* ".wh..wh..opq": hides all the directory held below */
    KH_PATH_AUFS,     /* any other ".wh..wh.": notes of a filesystem, ignored */
};

struct kh_path {
    enum kh_path_kind kind;
    char parent[KH_PATH_MAX + 1]; /* "." or "a/b": clean, relative */
    char name[256];               /* the last component; of a whiteout, what it hides */
};

/* Splits TEXT. -EBADMSG with the reason: empty, absolute, "..", a component over
 * 255 bytes, a name over KH_PATH_MAX, deeper than KH_PATH_DEPTH, a whiteout that
 * hides nothing that could be there. */
int kh_path_read(const char *text, struct kh_path *ret_path, struct kh_error *err);

/* PARENT and NAME as one clean relative path ("." for the root). */
void kh_path_whole(const struct kh_path *path, char out[KH_PATH_MAX + 1]);

/* Where the link NAME -> TARGET of an archive's table of contents points, as a
 * clean name: docker save writes "../ID/layer.tar". Only ".." at the beginning of
 * TARGET is understood. -EBADMSG when it leaves the archive. */
int kh_path_join(const char *name, const char *target, char out[KH_PATH_MAX + 1],
                 struct kh_error *err);

/* True for the names at the top of what `docker save` and an OCI layout hold:
 * anything else makes a tar a root filesystem. */
bool kh_path_of_archive(const char *text);

/* True for what may be asked for in an OCI layout: "index.json", "oci-layout",
 * "blobs/sha256/" and 64 lower-case hex digits. */
bool kh_path_of_layout(const char *text);

/* TEXT in printable characters for a message, at most 100 of them. */
#define KH_PATH_SHOWN 104
const char *kh_path_show(const char *text, char out[KH_PATH_SHOWN]);

#endif
