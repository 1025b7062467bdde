/* image: from an image's name to its open layer directories.
 *
 * STATE/images/names/NAME holds an image id; STATE/images/id/ID lists layers:
 *
 *     kernelhost-image 1
 *     layer 0123456789abcdef0123456789abcdef      (top first)
 *
 * Ids are 32 lower-case hex digits, so no name in these files is a path. */
#ifndef KH_HOST_IMAGE_H
#define KH_HOST_IMAGE_H

#include "sandbox/host/plan.h"
#include "sandbox/host/store.h"

/* From the look at a name to the record that pins its image nobody may remove it:
 * kernelhost-image holds the same lock, for the milliseconds that a removal takes. */
int kh_image_hold(const struct kh_store *store, struct kh_error *err);
void kh_image_let_go(const struct kh_store *store);

/* What NAME means now. -ENOENT with the cure when there is none. */
int kh_image_find(const struct kh_store *store, const char *name,
                  char ret_id[KH_ID_TEXT], struct kh_error *err);

/* Appends the layers of image ID to PLAN. -EIO when a layer is missing. */
int kh_image_open(const struct kh_store *store, const char *id, struct kh_plan *plan,
                  struct kh_error *err);

/* The name of image number INDEX in the order of names; -ENOENT past the end. */
int kh_image_at(const struct kh_store *store, uint64_t index,
                char ret_name[KH_IMAGE_NAME_SIZE], struct kh_error *err);

#endif
