#include "protocol/jupyter/jsontree.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/tap.h"

static int
parse(const char *text, struct kh_error *err)
{
    AUTO_JSON json_t *tree = NULL;

    return kh_jsontree_parse(kh_slice_text(text), 1024 * 1024, &tree, err);
}

static void
limits(void)
{
    size_t count = KH_JSONTREE_VALUES, i;
    char *text = kh_xcalloc(1, count * 3 + 16);
    struct kh_error err;
    json_t *tree;
    char *at;

    is_int(kh_jsontree_parse(kh_slice_text("{\"a\":1}"), 6, &tree, &err), -EMSGSIZE,
           "a byte over the limit is refused");
    at = stpcpy(text, "{\"a\":[");
    for (i = 0; i < count - 3; i++)
        at = stpcpy(at, "[],");
    strcpy(at - 1, "]}");
    is_int(parse(text, &err), 0, "as many values as allowed");
    strcpy(at - 1, ",1]}");
    is_int(parse(text, &err), -E2BIG, "one more is refused before any is made");
    free(text);
}

static void
round_trip(void)
{
    AUTO_JSON json_t *tree = NULL;
    struct kh_buf out = KH_BUF_INIT;

    kh_jsontree_parse(kh_slice_text("{ \"a\" : [ 1, 2.5, null, \"\\u00e9/\\n\" ] }"),
                      100, &tree, NULL);
    kh_jsontree_dump(tree, &out);
    kh_buf_add(&out, "", 1);
    is_str(kh_buf_ptr(&out), "{\"a\":[1,2.5,null,\"\xc3\xa9/\\n\"]}",
           "a tree is written without spaces");
    kh_buf_release(&out);
}

int
main(void)
{
    struct kh_error err;

    is_int(parse("{}", &err), 0, "an object is parsed");
    is_int(parse("[]", &err), -EBADMSG, "an array is refused");
    is_int(parse("{\"a\":1,\"a\":2}", &err), -EBADMSG, "a name twice is refused");
    is_int(parse("{\"a\":1e999}", &err), -EBADMSG, "a real out of range is refused");
    is_int(parse("{\"a\":99999999999999999999}", &err), -EBADMSG, "an integer too");
    is_int(parse("{\"a\":\"\\u0000\"}", &err), -EBADMSG, "NUL in a string is refused");
    is_int(parse("{\"a\":NaN}", &err), -EBADMSG, "NaN is refused");
    limits();
    round_trip();
    return done();
}
