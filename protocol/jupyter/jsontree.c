#include "protocol/jupyter/jsontree.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/jupyter/json.h"

int
kh_jsontree_parse(struct kh_slice text, size_t max, json_t **ret_tree,
                  struct kh_error *err)
{
    json_error_t why;
    size_t count;
    json_t *tree;
    int r;

    if (text.size > max)
        return kh_fail(err, EMSGSIZE, "JSON of %zu bytes is over the limit of %zu",
                       text.size, max);
    r = kh_json_check(text, KH_JSON_OBJECT, &count, err);
    if (r < 0)
        return r;
    if (count > KH_JSONTREE_VALUES)
        return kh_fail(err, E2BIG, "JSON of %zu values is over the limit of %d", count,
                       KH_JSONTREE_VALUES);
    tree = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &why);
    if (!tree)
        return kh_fail(err, EBADMSG, "JSON is wrong at byte %d: %s", why.position,
                       why.text);
    *ret_tree = tree;
    return 0;
}

static int
add(const char *bytes, size_t size, void *out)
{
    kh_buf_add(out, bytes, size);
    return 0;
}

void
kh_jsontree_dump(const json_t *tree, struct kh_buf *out)
{
    if (json_dump_callback(tree, add, out, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
        abort();
}
