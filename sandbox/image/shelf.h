/* shelf: the image store of a state directory, as the tools that change it see it.
 *
 *     STATE/layers/LAYERID/       a root of files with canonical ids (0..65535)
 *     STATE/images/id/IMAGEID     "kernelhost-image 1", then "layer LAYERID", top first
 *     STATE/images/names/NAME     IMAGEID
 *     STATE/images/info/IMAGEID   "KEY VALUE" lines, for people: where it came from
 *
 * Everything is made under a name that begins with a dot (layers/.build-*) and then
 * renamed, so that kernelhostd, which may run meanwhile, sees whole layers and images
 * only. store.sh does the same for the scripts, under the same lock: STATE/layers
 * itself. A second one, STATE/images, is held while names and ids go, and by
 * kernelhostd while it turns a name into a record. */
#ifndef KH_IMAGE_SHELF_H
#define KH_IMAGE_SHELF_H

#include "sandbox/host/store.h"
#include "sandbox/image/view.h"

#define KH_SHELF_TEMP 32

struct kh_shelf {
    int state, layers, images, names, ids, info;
};

/* An image as its file tells it. */
struct kh_shelf_image {
    char id[KH_ID_TEXT];
    char layer[KH_VIEW_LAYERS][KH_ID_TEXT]; /* top first */
    unsigned layers;
};

/* Opens the store of STATE; makes it if there is none and MAKE. Needs no host. */
int kh_shelf_open(const char *state, bool make, struct kh_shelf *ret_shelf,
                  struct kh_error *err);
void kh_shelf_close(struct kh_shelf *shelf);

/* Waits for the lock (WAITING is called once if it must) and sweeps what an
 * interrupted tool left. The lock ends with kh_shelf_close. */
int kh_shelf_lock(struct kh_shelf *shelf, void (*waiting)(void), struct kh_error *err);

/* A new directory for a layer: its descriptor, and its name. */
int kh_shelf_temp(struct kh_shelf *shelf, char ret_name[KH_SHELF_TEMP],
                  struct kh_error *err);

/* What was written to new directories is on the disk: before they are kept. */
int kh_shelf_sync(struct kh_shelf *shelf, struct kh_error *err);

/* TEMP becomes the layer ID; if that is there already, TEMP is removed. *RET_SHARED
 * tells which. */
int kh_shelf_keep(struct kh_shelf *shelf, const char *temp, const char *id,
                  bool *ret_shared, struct kh_error *err);

/* Registers the image of these layers under NAME, with INFO. Fills image->id. */
int kh_shelf_register(struct kh_shelf *shelf, const char *name,
                      struct kh_shelf_image *image, const char *info,
                      struct kh_error *err);

/* What NAME means; -ENOENT with the cure. */
int kh_shelf_find(const struct kh_shelf *shelf, const char *name,
                  char ret_id[KH_ID_TEXT], struct kh_error *err);
int kh_shelf_read(const struct kh_shelf *shelf, const char *id,
                  struct kh_shelf_image *ret_image, struct kh_error *err);

/* The entries of one of the directories whose names are image names (or ids), sorted.
 * Free each and the array. */
int kh_shelf_list(int dir, bool ids, char ***ret_names, size_t *ret_count,
                  struct kh_error *err);
void kh_shelf_list_free(char **names, size_t count);

/* Removes TEMP or a layer with all it holds. */
int kh_shelf_remove_tree(int parent, const char *name, struct kh_error *err);

#endif
