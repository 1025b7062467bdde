/* import: an archive becomes an image of the store.
 *
 * The trusted half: starts kernelhost-import in namespaces of its own (its root is an
 * id range that nobody else has), hands it the archive and empty directories, watches
 * its time, seals what it made and registers it. Never reads a byte of the archive. */
#ifndef KH_IMAGE_IMPORT_H
#define KH_IMAGE_IMPORT_H

#include "sandbox/image/shelf.h"
#include "sandbox/image/wire.h"

struct kh_import_plan {
    const char *path; /* of the archive or the layout's directory */
    const char *name; /* of the image to be */
    const char *ref;  /* which one, if there are several; "" */
    struct kh_import_limits limits;
};

struct kh_import_result {
    struct kh_shelf_image image;
    struct kh_import_tally tally;
    unsigned shared; /* of the layers, how many were there already */
    char digest[72];
};

/* The store is open and locked. Whatever fails, nothing is left of it (what a KILL
 * leaves, the next kh_shelf_lock sweeps). */
int kh_import(struct kh_shelf *shelf, const struct kh_import_plan *plan,
              struct kh_import_result *ret_result, struct kh_error *err);

#endif
