/* recipe: images from Debian and Python packages, by the scripts beside this file.
 *
 * Without package lists it is the default image's build, from nothing. With them it
 * is one layer on top of an image that was built here; never of one that was
 * imported, whose programs would run as the host's root. */
#ifndef KH_IMAGE_RECIPE_H
#define KH_IMAGE_RECIPE_H

#include "sandbox/image/shelf.h"

struct kh_recipe {
    const char *state;
    const char *name;     /* of the image to be */
    const char *from;     /* the image below */
    const char *packages; /* files, or NULL */
    const char *requirements;
};

/* The script "build"; it takes the lock of the store itself. */
int kh_recipe_new(const struct kh_recipe *plan, struct kh_error *err);

/* The script "extend", and the layer that it made. The store is locked. */
int kh_recipe_on(struct kh_shelf *shelf, const struct kh_recipe *plan,
                 struct kh_error *err);

#endif
