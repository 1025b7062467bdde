#include "protocol/jupyter/json.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/data.h"
#include "tests/tap.h"

/* Files y_* must be accepted, n_* refused, in one pass and by walking. */
static void
vectors(void)
{
    struct dirent **names;
    int count = data_list("json", &names), i;

    for (i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        struct kh_slice text = data_file("json/%s", name);
        struct kh_error err = {.text = "accepted"};
        struct kh_json_value value;
        struct kh_json_walk walk = kh_json_walk(text);
        int r = kh_json_check(text, KH_JSON_ANY, NULL, &err), w;

        ok((r == 0) == (name[0] == 'y'), "%s: %s", name, err.text);
        while ((w = kh_json_next(&walk, NULL, &value, NULL)) > 0)
            ;
        if (r == 0 &&
            kh_json_check(text, KH_JSON_ARRAY | KH_JSON_OBJECT, NULL, NULL) < 0)
            ok(w < 0, "%s: cannot be walked", name);
        else
            ok((w == 0) == (r == 0), "%s: the same when walked", name);
        free((void *)text.data);
    }
    data_list_free(names, count);
}

/* A valid text cut anywhere is not valid, and nothing is read behind its end:
 * the copy ends exactly there, which the sanitizers and valgrind watch. */
static void
cuts(void)
{
    static const char text[] = "{\"a\":[1,-2.5e-3,true,false,null,"
                               "\"\\u00e9\\ud83d\\ude00\xc3\xa9\"],\"b\":{}}";
    size_t size, accepted = 0;

    for (size = 0; size < sizeof(text) - 1; size++) {
        char *copy = malloc(size ? size : 1);

        memcpy(copy, text, size);
        accepted +=
            kh_json_check((struct kh_slice){copy, size}, KH_JSON_ANY, NULL, NULL) == 0;
        free(copy);
    }
    is_int(accepted, 0, "no cut text is accepted");
    is_int(kh_json_check(kh_slice_text(text), KH_JSON_OBJECT, NULL, NULL), 0,
           "the whole text is");
    is_int(kh_json_check((struct kh_slice){NULL, 0}, KH_JSON_ANY, NULL, NULL), -EBADMSG,
           "no bytes are no JSON");
}

/* Attack J5: 10^5 levels, 10^6 members: bounded stack, and an answer. */
static void
bombs(void)
{
    size_t size = 1000 * 1000, i, count;
    char *text = kh_xcalloc(1, size * 8);
    struct kh_error err;
    char *at = text;

    memset(text, '[', 100000);
    is_int(kh_json_check((struct kh_slice){text, 100000}, KH_JSON_ANY, NULL, &err),
           -E2BIG, "100,000 levels are refused");
    *at++ = '{';
    for (i = 0; i < size; i++, at += 7)
        memcpy(at, "\"a\":12,", 7);
    at[-1] = '}';
    is_int(kh_json_check((struct kh_slice){text, (size_t)(at - text)}, KH_JSON_OBJECT,
                         &count, &err),
           0, "a million members are well-formed");
    is_int(count, 2 * size + 1, "and are counted, for who would build a tree");
    free(text);
}

static void
types(void)
{
    static const struct {
        const char *text;
        enum kh_json_type type;
    } cases[] = {
        {"null", KH_JSON_NULL},       {"true", KH_JSON_TRUE}, {"false", KH_JSON_FALSE},
        {"-1", KH_JSON_INTEGER},      {"1.0", KH_JSON_REAL},  {"1e2", KH_JSON_REAL},
        {"\"x\"", KH_JSON_STRING},    {"[1]", KH_JSON_ARRAY}, {"{}", KH_JSON_OBJECT},
        {" [{}, 1] ", KH_JSON_ARRAY}, {"[]", KH_JSON_ARRAY},
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct kh_slice text = kh_slice_text(cases[i].text);

        ok(kh_json_check(text, cases[i].type, NULL, NULL) == 0 &&
               kh_json_check(text, KH_JSON_ANY & ~cases[i].type, NULL, NULL) ==
                   -EBADMSG,
           "%s has its type and no other", cases[i].text);
    }
}

static void
walking(void)
{
    struct kh_json_walk walk =
        kh_json_walk(kh_slice_text(" { \"a\" : [ 1 ] , \"b\":\"x\\n\" } "));
    struct kh_json_value value;
    struct kh_slice name;
    struct kh_error err;

    is_int(kh_json_next(&walk, &name, &value, &err), 1, "there is a first member");
    ok(kh_json_name_is(name, "a") && value.type == KH_JSON_ARRAY &&
           value.text.size == 5,
       "with its name and exact bytes");
    is_int(kh_json_next(&walk, &name, &value, &err), 1, "there is a second");
    ok(value.type == KH_JSON_STRING && value.text.size == 5 &&
           !memcmp(value.text.data, "\"x\\n\"", 5),
       "a string keeps its quotes");
    is_int(kh_json_next(&walk, &name, &value, &err), 0, "there is no third");
    is_int(kh_json_next(&walk, &name, &value, &err), 0, "nor later");
    walk = kh_json_walk(kh_slice_text("[1,2] x"));
    kh_json_next(&walk, &name, &value, &err);
    is_int(name.size, 0, "elements have no name");
    kh_json_next(&walk, &name, &value, &err);
    is_int(kh_json_next(&walk, &name, &value, &err), -EBADMSG, "the rest counts");
    is_int(kh_json_next(&walk, &name, &value, &err), -EBADMSG, "wrong stays wrong");
}

static void
finding(void)
{
    static const char *const names[] = {"data", "metadata"};
    struct kh_json_value values[2];
    struct kh_error err;

    is_int(kh_json_find(kh_slice_text("{\"x\":{\"data\":1},\"d\\u0061ta\":{}}"), names,
                        2, values, &err),
           0, "members are found");
    ok(values[0].type == KH_JSON_OBJECT, "an escaped name is the same name");
    is_int(values[1].type, 0, "what is absent has no type");
    is_int(kh_json_find(kh_slice_text("{\"data\":{},\"d\\u0061ta\":null}"), names, 2,
                        values, &err),
           -EBADMSG, "a member twice is refused");
    is_str(err.text, "JSON has the member 'data' twice", "and named");
    is_int(kh_json_find(kh_slice_text("{\"x\":1,\"x\":1}"), names, 2, values, &err), 0,
           "others may repeat");
    is_int(kh_json_find(kh_slice_text("[]"), names, 2, values, &err), -EBADMSG,
           "an array is no object");
    is_int(kh_json_find(kh_slice_text("{\"data\":1} 2"), names, 2, values, &err),
           -EBADMSG, "nothing may follow");
    is_int(kh_json_find(kh_slice_text("{\"data\\u0000\":1}"), names, 2, values, &err),
           0, "a name with NUL");
    is_int(values[0].type, 0, "is another name");
}

static struct kh_json_value
value_of(const char *text)
{
    struct kh_json_value value = {0};
    struct kh_json_walk walk = kh_json_walk(kh_slice_text(text));

    kh_json_next(&walk, NULL, &value, NULL);
    return value;
}

static void
scalars(void)
{
    char out[16];
    int64_t n;

    is_int(kh_json_text(value_of("[\"a\\u00e9\\ud83d\\ude00\\/\"]"), out, sizeof(out)),
           8, "a string is decoded");
    is_str(out, "a\xc3\xa9\xf0\x9f\x98\x80/", "with its escapes");
    is_int(kh_json_text(value_of("[\"\\b\\f\\n\\r\\t\\\"\\\\\\u20ac\\u0001\"]"), out,
                        sizeof(out)),
           11, "all the short ones");
    is_str(out, "\b\f\n\r\t\"\\\xe2\x82\xac\x01", "are right");
    is_int(kh_json_text(value_of("[\"123456789012345\"]"), out, sizeof(out)), 15,
           "one fits exactly");
    is_int(kh_json_text(value_of("[\"1234567890123456\"]"), out, sizeof(out)),
           -EMSGSIZE, "one byte more does not");
    is_int(kh_json_text(value_of("[\"\"]"), out, 1), 0, "an empty one needs its NUL");
    is_int(kh_json_text(value_of("[\"\"]"), out, 0), -EMSGSIZE, "and no less");
    is_int(kh_json_text(value_of("[\"a\\u0000b\"]"), out, sizeof(out)), -EBADMSG,
           "a NUL inside is refused");
    is_int(kh_json_text(value_of("[1]"), out, sizeof(out)), -EBADMSG, "a number too");
    is_int(kh_json_integer(value_of("[-42]"), -100, 100, &n), 0, "an integer is read");
    is_int(n, -42, "with its sign");
    is_int(kh_json_integer(value_of("[101]"), -100, 100, &n), -ERANGE,
           "101 is over 100");
    is_int(kh_json_integer(value_of("[9223372036854775807]"), 0, INT64_MAX, &n), 0,
           "the largest");
    is_int(kh_json_integer(value_of("[-9223372036854775808]"), INT64_MIN, 0, &n), 0,
           "and the smallest");
    is_int(kh_json_integer(value_of("[9223372036854775808]"), 0, INT64_MAX, &n),
           -ERANGE, "one more is out of range");
    is_int(kh_json_integer(value_of("[1.0]"), 0, 10, &n), -EBADMSG, "1.0 is a real");
}

static const char *
written(struct kh_slice text)
{
    static struct kh_buf out;

    kh_buf_release(&out);
    kh_json_add_string(&out, text);
    kh_buf_add(&out, "", 1);
    return kh_buf_ptr(&out);
}

static void
writing(void)
{
    struct kh_slice bytes = {"a\0b", 3}, json = {"[1]", 3};
    struct kh_buf out = KH_BUF_INIT;
    char all[256];
    int i;

    is_str(written(kh_slice_text("plain")), "\"plain\"", "text is quoted");
    is_str(written(kh_slice_text("\"\\\b\f\n\r\t\x01\x1f\x7f/")),
           "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f/\"", "and escaped");
    is_str(written(bytes), "\"a\\u0000b\"", "NUL is escaped");
    is_str(written((struct kh_slice){NULL, 0}), "\"\"", "nothing is empty");
    is_str(written(kh_slice_text("\xc3\xa9\xff\xe2\x82 \xf0\x9f\x98")),
           "\"\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\"",
           "bad UTF-8 is replaced");
    for (i = 0; i < 256; i++)
        all[i] = (char)i;
    ok(kh_json_check(kh_slice_text(written((struct kh_slice){all, 256})),
                     KH_JSON_STRING, NULL, NULL) == 0,
       "any bytes become a valid string");
    kh_json_addf(&out, "{%s:%S,%s:%J,%s:[%b,%d,%l]}%%", "k\n", &bytes, "j", &json, "n",
                 1, -3, (int64_t)1 << 40);
    kh_buf_add(&out, "", 1);
    is_str(kh_buf_ptr(&out),
           "{\"k\\n\":\"a\\u0000b\",\"j\":[1],\"n\":[true,-3,1099511627776]}%",
           "a format is filled in");
    kh_buf_release(&out);
    written((struct kh_slice){NULL, 0});
}

int
main(void)
{
    vectors();
    cuts();
    bombs();
    types();
    walking();
    finding();
    scalars();
    writing();
    return done();
}
