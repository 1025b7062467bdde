#include "sandbox/host/boxes.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sandbox/host/box.h"

static int
compare(const void *a, const void *b)
{
    const struct kh_box *p = a, *q = b;

    return strcmp(p->record.name, q->record.name);
}

static int
compare_key(const void *name, const void *box)
{
    return strcmp(name, ((const struct kh_box *)box)->record.name);
}

/* Index of the first whose number is above NUMBER. */
static size_t
index_after(const struct kh_boxes *boxes, uint64_t number)
{
    size_t low = 0, high = boxes->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (boxes->at[middle]->number > number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void
kh_boxes_add(struct kh_boxes *boxes, struct kh_box *box)
{
    if (boxes->count == boxes->size) {
        boxes->size = boxes->size ? boxes->size * 2 : 16;
        boxes->at = kh_xrealloc(boxes->at, boxes->size * sizeof(struct kh_box *));
    }
    box->number = ++boxes->last;
    boxes->at[boxes->count++] = box;
    if (!tsearch(box, &boxes->names, compare))
        abort();
}

void
kh_boxes_remove(struct kh_boxes *boxes, struct kh_box *box)
{
    size_t i = index_after(boxes, box->number - 1);

    tdelete(box, &boxes->names, compare);
    boxes->count--;
    memmove(&boxes->at[i], &boxes->at[i + 1],
            (boxes->count - i) * sizeof(struct kh_box *));
}

void
kh_boxes_release(struct kh_boxes *boxes)
{
    free(boxes->at);
    memset(boxes, 0, sizeof(*boxes));
}

struct kh_box *
kh_boxes_find(const struct kh_boxes *boxes, const char *name)
{
    void *node = tfind(name, &boxes->names, compare_key);

    return node ? *(struct kh_box **)node : NULL;
}

struct kh_box *
kh_boxes_find_id(const struct kh_boxes *boxes, const char *id)
{
    size_t i;

    for (i = 0; i < boxes->count; i++)
        if (!strcmp(boxes->at[i]->id, id))
            return boxes->at[i];
    return NULL;
}

struct kh_box *
kh_boxes_after(const struct kh_boxes *boxes, uint64_t number)
{
    size_t i = index_after(boxes, number);

    return i < boxes->count ? boxes->at[i] : NULL;
}
