/* boxes: all sandboxes of a host, by name and in the order of their making. */
#ifndef KH_HOST_BOXES_H
#define KH_HOST_BOXES_H

#include <stddef.h>
#include <stdint.h>

struct kh_box;

struct kh_boxes {
    struct kh_box **at; /* by rising number */
    size_t count, size;
    void *names; /* tree of search.h: no name can make it slow */
    uint64_t last;
};

/* Adds BOX, whose name must be new, and gives it its number. */
void kh_boxes_add(struct kh_boxes *boxes, struct kh_box *box);
void kh_boxes_remove(struct kh_boxes *boxes, struct kh_box *box);
void kh_boxes_release(struct kh_boxes *boxes);

/* The one with that name, or NULL. */
struct kh_box *kh_boxes_find(const struct kh_boxes *boxes, const char *name);

/* The one with that id, or NULL; looks at each. */
struct kh_box *kh_boxes_find_id(const struct kh_boxes *boxes, const char *id);

/* The first whose number is above NUMBER, or NULL: so one that is removed between
 * two calls hides no other. */
struct kh_box *kh_boxes_after(const struct kh_boxes *boxes, uint64_t number);

#endif
