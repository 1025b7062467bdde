/* list: what images there are, for people and programs. */
#ifndef KH_IMAGE_LIST_H
#define KH_IMAGE_LIST_H

#include "sandbox/image/shelf.h"

/* Prints a table, or JSON, on standard output. NULL is a store without images. */
int kh_list(struct kh_shelf *shelf, bool json, struct kh_error *err);

/* Which kernels an image can run: "python" when there are python3 and IPython where
 * kernelhost-init and Python look, "" when not; and why not, in words. */
struct kh_list_kernels {
    bool python;
    char why[120];
};
int kh_list_kernels(struct kh_shelf *shelf, const struct kh_shelf_image *image,
                    struct kh_list_kernels *ret_kernels, struct kh_error *err);

#endif
