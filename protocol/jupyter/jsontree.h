/* jsontree: JSON as a tree of jansson values, within limits.
 *
 * For texts whose parts are needed many times: configuration, HTTP bodies. The
 * text is first checked by kh_json_check, so the same is accepted everywhere,
 * and the number of its values is bounded before the first one is allocated
 * (a value takes up to some 200 bytes, "[[],[],..." only three in the text).
 */
#ifndef KH_JUPYTER_JSONTREE_H
#define KH_JUPYTER_JSONTREE_H

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/link/frame.h"

/* Values and member names in one tree: some 20 MB at most, besides strings. */
#define KH_JSONTREE_VALUES 100000

/* Parses an object of at most MAX bytes. Member names must be unique; numbers
 * must fit int64_t and double. Returns 0 and a new reference (json_decref);
 * -EMSGSIZE over MAX; -E2BIG over the depth or the number of values; -EBADMSG
 * for everything else. */
int kh_jsontree_parse(struct kh_slice text, size_t max, json_t **ret_tree,
                      struct kh_error *err);

/* Appends the tree without spaces. Aborts on OOM. A NaN cannot occur: jansson
 * does not make reals of it. */
void kh_jsontree_dump(const json_t *tree, struct kh_buf *out);

/* AUTO_JSON json_t *tree = NULL; drops its reference at the end of the scope. */
static inline void
kh_jsontree_clean(json_t **tree)
{
    json_decref(*tree);
}
#define AUTO_JSON __attribute__((cleanup(kh_jsontree_clean)))

#endif
