#include "protocol/jupyter/json.h"

#include <errno.h>
#include <string.h>

#include "protocol/jupyter/utf8.h"

/* The scanner. Its memory is one bit a level: object or array. */
struct scan {
    const unsigned char *start, *at, *end;
    size_t count;
    unsigned depth;
    unsigned char object[KH_JSON_DEPTH / 8];
    struct kh_error *err;
};

enum walk_state { WALK_START, WALK_OBJECT, WALK_ARRAY, WALK_END, WALK_BROKEN };

static int
wrong(struct scan *s, const char *what)
{
    return kh_fail(s->err, EBADMSG, "JSON is wrong at byte %zu: %s",
                   (size_t)(s->at - s->start), what);
}

static void
skip_space(struct scan *s)
{
    while (s->at < s->end &&
           (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
        s->at++;
}

static bool
take(struct scan *s, unsigned char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static int
hex4(const unsigned char *at, const unsigned char *end)
{
    int value = 0, i;

    if (end - at < 4)
        return -1;
    for (i = 0; i < 4; i++) {
        unsigned char c = at[i];

        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            value = value * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* After a backslash. */
static int
scan_escape(struct scan *s)
{
    int unit;

    if (s->at == s->end)
        return wrong(s, "the string does not end");
    if (*s->at != 'u') {
        if (!*s->at || !strchr("\"\\/bfnrt", *s->at))
            return wrong(s, "no such escape");
        s->at++;
        return 0;
    }
    unit = hex4(s->at + 1, s->end);
    if (unit < 0)
        return wrong(s, "\\u needs four hexadecimal digits");
    s->at += 5;
    if (unit < 0xd800 || unit > 0xdfff)
        return 0;
    if (unit > 0xdbff || s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
        return wrong(s, "a surrogate stands alone");
    unit = hex4(s->at + 2, s->end);
    if (unit < 0xdc00 || unit > 0xdfff)
        return wrong(s, "a surrogate stands alone");
    s->at += 6;
    return 0;
}

static int
scan_string(struct scan *s)
{
    size_t n;
    int r;

    s->count++;
    if (!take(s, '"'))
        return wrong(s, "a string is expected");
    for (;;) {
        s->at += kh_utf8_plain(s->at, (size_t)(s->end - s->at));
        if (s->at == s->end)
            return wrong(s, "the string does not end");
        if (take(s, '"'))
            return 0;
        if (take(s, '\\')) {
            r = scan_escape(s);
            if (r < 0)
                return r;
            continue;
        }
        if (*s->at < 0x20)
            return wrong(s, "a control character must be escaped");
        n = kh_utf8_char(s->at, (size_t)(s->end - s->at), NULL, NULL);
        if (!n)
            return wrong(s, "this is not UTF-8");
        s->at += n;
    }
}

static bool
skip_digits(struct scan *s)
{
    const unsigned char *from = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from;
}

static int
scan_number(struct scan *s, enum kh_json_type *ret_type)
{
    const unsigned char *from = s->at;

    *ret_type = KH_JSON_INTEGER;
    take(s, '-');
    if (!take(s, '0') && !skip_digits(s))
        return wrong(s, "a value is expected");
    if (take(s, '.')) {
        *ret_type = KH_JSON_REAL;
        if (!skip_digits(s))
            return wrong(s, "a digit is expected");
    }
    if (take(s, 'e') || take(s, 'E')) {
        *ret_type = KH_JSON_REAL;
        if (!take(s, '+'))
            take(s, '-');
        if (!skip_digits(s))
            return wrong(s, "a digit is expected");
    }
    if (s->at - from > KH_JSON_NUMBER_MAX)
        return wrong(s, "the number is too long");
    return 0;
}

static int
scan_word(struct scan *s, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size))
        return wrong(s, "a value is expected");
    s->at += size;
    return 0;
}

/* A value without parts. */
static int
scan_scalar(struct scan *s, enum kh_json_type *ret_type)
{
    if (s->at == s->end)
        return wrong(s, "a value is expected");
    switch (*s->at) {
    case '"':
        *ret_type = KH_JSON_STRING;
        return scan_string(s);
    case 'n':
        *ret_type = KH_JSON_NULL;
        s->count++;
        return scan_word(s, "null");
    case 't':
        *ret_type = KH_JSON_TRUE;
        s->count++;
        return scan_word(s, "true");
    case 'f':
        *ret_type = KH_JSON_FALSE;
        s->count++;
        return scan_word(s, "false");
    default:
        s->count++;
        return scan_number(s, ret_type);
    }
}

static int
scan_name(struct scan *s)
{
    int r;

    skip_space(s);
    r = scan_string(s);
    if (r < 0)
        return r;
    skip_space(s);
    return take(s, ':') ? 0 : wrong(s, "':' is expected");
}

static bool
top_is_object(const struct scan *s)
{
    return s->object[(s->depth - 1) / 8] >> ((s->depth - 1) % 8) & 1;
}

static int
push(struct scan *s, bool object)
{
    unsigned char bit = (unsigned char)(1u << (s->depth % 8));

    if (s->depth == KH_JSON_DEPTH)
        return kh_fail(s->err, E2BIG, "JSON is nested deeper than %d levels",
                       KH_JSON_DEPTH);
    s->object[s->depth / 8] &= (unsigned char)~bit;
    if (object)
        s->object[s->depth / 8] |= bit;
    s->depth++;
    s->count++;
    return 0;
}

/* Opens an object or array, up to its first value. Returns 1 when it is empty,
 * and thus a whole value. */
static int
open_value(struct scan *s, bool object)
{
    int r = push(s, object);

    if (r < 0)
        return r;
    s->at++;
    skip_space(s);
    if (take(s, object ? '}' : ']')) {
        s->depth--;
        return 1;
    }
    return object ? scan_name(s) : 0;
}

/* Behind a value: closes what ends here, down to depth BASE. Returns 1 there, 0
 * when another value follows. */
static int
close_values(struct scan *s, unsigned base)
{
    while (s->depth > base) {
        bool object = top_is_object(s);

        skip_space(s);
        if (take(s, ','))
            return object ? scan_name(s) : 0;
        if (!take(s, object ? '}' : ']'))
            return wrong(s,
                         object ? "',' or '}' is expected" : "',' or ']' is expected");
        s->depth--;
    }
    return 1;
}

/* One whole value, however deep. */
static int
scan_value(struct scan *s, struct kh_json_value *ret_value)
{
    unsigned base = s->depth;
    enum kh_json_type type = 0, first = 0;
    const unsigned char *from = NULL;
    int r;

    for (;;) {
        skip_space(s);
        from = from ? from : s->at;
        if (s->at < s->end && (*s->at == '{' || *s->at == '[')) {
            type = *s->at == '{' ? KH_JSON_OBJECT : KH_JSON_ARRAY;
            r = open_value(s, type == KH_JSON_OBJECT);
        } else {
            r = scan_scalar(s, &type);
            r = r < 0 ? r : 1;
        }
        if (r < 0)
            return r;
        first = first ? first : type;
        if (!r)
            continue;
        r = close_values(s, base);
        if (r < 0)
            return r;
        if (r)
            break;
    }
    ret_value->type = first;
    ret_value->text.data = from;
    ret_value->text.size = (size_t)(s->at - from);
    return 0;
}

static struct scan
scan_at(struct kh_slice text, size_t at, struct kh_error *err)
{
    const unsigned char *start = text.size ? text.data : (const void *)"";

    return (struct scan){
        .start = start, .at = start + at, .end = start + text.size, .err = err};
}

static int
expect_end(struct scan *s)
{
    skip_space(s);
    return s->at == s->end ? 0 : wrong(s, "nothing more is expected");
}

int
kh_json_check(struct kh_slice text, unsigned types, size_t *ret_count,
              struct kh_error *err)
{
    struct scan s = scan_at(text, 0, err);
    struct kh_json_value value;
    int r = scan_value(&s, &value);

    if (r == 0)
        r = expect_end(&s);
    if (r < 0)
        return r;
    if (!(value.type & types))
        return kh_fail(err, EBADMSG, "JSON is not %s",
                       types == KH_JSON_OBJECT ? "an object" : "of the type expected");
    if (ret_count)
        *ret_count = s.count;
    return 0;
}

struct kh_json_walk
kh_json_walk(struct kh_slice text)
{
    return (struct kh_json_walk){.text = text, .state = WALK_START};
}

/* Steps to the next member or behind the end. Returns 1 when there is one. */
static int
walk_step(struct scan *s, int *state)
{
    if (*state == WALK_START) {
        skip_space(s);
        if (s->at == s->end || (*s->at != '{' && *s->at != '['))
            return wrong(s, "an object or array is expected");
        *state = *s->at++ == '{' ? WALK_OBJECT : WALK_ARRAY;
        skip_space(s);
        if (!take(s, *state == WALK_OBJECT ? '}' : ']'))
            return 1;
    } else {
        skip_space(s);
        if (take(s, ','))
            return 1;
        if (!take(s, *state == WALK_OBJECT ? '}' : ']'))
            return wrong(s, "',' or the end is expected");
    }
    *state = WALK_END;
    return expect_end(s);
}

static int
next(struct kh_json_walk *walk, struct scan *s, struct kh_slice *name,
     struct kh_json_value *value)
{
    int r = walk_step(s, &walk->state);

    if (r <= 0)
        return r;
    s->depth = 1;
    if (walk->state == WALK_OBJECT) {
        skip_space(s);
        name->data = s->at + 1;
        r = scan_string(s);
        if (r < 0)
            return r;
        name->size = (size_t)(s->at - 1 - (const unsigned char *)name->data);
        skip_space(s);
        if (!take(s, ':'))
            return wrong(s, "':' is expected");
    }
    r = scan_value(s, value);
    if (r < 0)
        return r;
    walk->at = (size_t)(s->at - s->start);
    return 1;
}

int
kh_json_next(struct kh_json_walk *walk, struct kh_slice *ret_name,
             struct kh_json_value *ret_value, struct kh_error *err)
{
    struct scan s = scan_at(walk->text, walk->at, err);
    struct kh_slice name = {"", 0};
    struct kh_json_value value;
    int r;

    if (walk->state == WALK_END)
        return 0;
    if (walk->state == WALK_BROKEN)
        return wrong(&s, "it was found wrong before");
    r = next(walk, &s, &name, &value);
    if (r < 0)
        walk->state = WALK_BROKEN;
    if (r <= 0)
        return r;
    if (ret_name)
        *ret_name = name;
    *ret_value = value;
    return 1;
}

int
kh_json_find(struct kh_slice text, const char *const *names, size_t count,
             struct kh_json_value *ret_values, struct kh_error *err)
{
    struct kh_json_walk walk = kh_json_walk(text);
    struct scan s = scan_at(text, 0, err);
    struct kh_json_value value;
    struct kh_slice name;
    size_t i;
    int r;

    memset(ret_values, 0, count * sizeof(*ret_values));
    skip_space(&s);
    if (!take(&s, '{'))
        return wrong(&s, "an object is expected");
    while ((r = kh_json_next(&walk, &name, &value, err)) > 0) {
        for (i = 0; i < count; i++) {
            if (!kh_json_name_is(name, names[i]))
                continue;
            if (ret_values[i].type)
                return kh_fail(err, EBADMSG, "JSON has the member '%s' twice",
                               names[i]);
            ret_values[i] = value;
        }
    }
    return r;
}
