/* The half of json.h about strings and scalars: decoding them out of checked
 * text, and writing JSON. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/jupyter/json.h"
#include "protocol/jupyter/utf8.h"

static unsigned
hex4(const unsigned char *at)
{
    unsigned value = 0, i;

    for (i = 0; i < 4; i++) {
        unsigned c = at[i];

        value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static size_t
put_utf8(unsigned code, char out[4])
{
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    size_t i;

    if (size == 1) {
        out[0] = (char)code;
        return 1;
    }
    for (i = size - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(marks[size] | code);
    return size;
}

/* One character of a checked string as UTF-8. Returns its bytes; advances *at. */
static size_t
take_char(const unsigned char **at, char out[4])
{
    static const char names[] = "bfnrt\"\\/", means[] = "\b\f\n\r\t\"\\/";
    const unsigned char *s = *at;
    unsigned code;

    if (s[0] != '\\') {
        *at = s + 1;
        out[0] = (char)s[0];
        return 1;
    }
    if (s[1] != 'u') {
        *at = s + 2;
        out[0] = means[strchr(names, s[1]) - names];
        return 1;
    }
    code = hex4(s + 2);
    *at = s + 6;
    if (code >= 0xd800 && code <= 0xdbff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (hex4(s + 8) - 0xdc00);
        *at = s + 12;
    }
    return put_utf8(code, out);
}

bool
kh_json_name_is(struct kh_slice raw, const char *name)
{
    const unsigned char *at = raw.data, *end = at + raw.size;
    size_t length = strlen(name), n;
    char c[4];

    if (!memchr(raw.data, '\\', raw.size))
        return raw.size == length && !memcmp(raw.data, name, length);
    while (at < end) {
        n = take_char(&at, c);
        if (n > length || memcmp(c, name, n))
            return false;
        name += n;
        length -= n;
    }
    return length == 0;
}

long
kh_json_text(struct kh_json_value value, char *out, size_t size)
{
    const unsigned char *at, *end;
    size_t used = 0, n;
    char c[4];

    if (value.type != KH_JSON_STRING)
        return -EBADMSG;
    at = (const unsigned char *)value.text.data + 1;
    end = at + value.text.size - 2;
    while (at < end) {
        n = take_char(&at, c);
        if (!c[0])
            return -EBADMSG;
        if (size - used <= n)
            return -EMSGSIZE;
        memcpy(out + used, c, n);
        used += n;
    }
    if (used >= size)
        return -EMSGSIZE;
    out[used] = '\0';
    return (long)used;
}

int
kh_json_integer(struct kh_json_value value, int64_t min, int64_t max,
                int64_t *ret_integer)
{
    const char *s = value.text.data;
    bool minus;
    int64_t n = 0;
    size_t i;

    if (value.type != KH_JSON_INTEGER)
        return -EBADMSG;
    minus = s[0] == '-';
    for (i = minus; i < value.text.size; i++) {
        int digit = s[i] - '0';

        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, minus ? -digit : digit, &n))
            return -ERANGE;
    }
    if (n < min || n > max)
        return -ERANGE;
    *ret_integer = n;
    return 0;
}

/* Length of the run at the start that needs no escape and is right UTF-8. */
static size_t
literal_run(const unsigned char *s, size_t size, size_t *ret_bad)
{
    size_t i = 0, n;

    *ret_bad = 0;
    for (;;) {
        i += kh_utf8_plain(s + i, size - i);
        if (i == size || s[i] < 0x80)
            return i;
        n = kh_utf8_char(s + i, size - i, ret_bad, NULL);
        if (!n)
            return i;
        i += n;
    }
}

void
kh_json_add_string(struct kh_buf *out, struct kh_slice text)
{
    static const char means[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
    const unsigned char *s = text.data;
    size_t i = 0, n, bad;
    const char *found;

    kh_buf_add(out, "\"", 1);
    for (;;) {
        n = literal_run(s + i, text.size - i, &bad);
        kh_buf_add(out, s + i, n);
        i += n;
        if (i == text.size)
            break;
        if (bad) {
            kh_buf_add(out, "\xef\xbf\xbd", 3);
            i += bad;
            continue;
        }
        found = s[i] ? strchr(means, s[i]) : NULL;
        if (found)
            kh_buf_add(out, (char[]){'\\', names[found - means]}, 2);
        else
            kh_buf_addf(out, "\\u%04x", s[i]);
        i++;
    }
    kh_buf_add(out, "\"", 1);
}

static void
add_one(struct kh_buf *out, char what, va_list *args)
{
    const struct kh_slice *slice;

    switch (what) {
    case 's':
        kh_json_add_string(out, kh_slice_text(va_arg(*args, const char *)));
        break;
    case 'S':
        kh_json_add_string(out, *va_arg(*args, const struct kh_slice *));
        break;
    case 'J':
        slice = va_arg(*args, const struct kh_slice *);
        kh_buf_add(out, slice->data, slice->size);
        break;
    case 'b':
        kh_buf_addf(out, "%s", va_arg(*args, int) ? "true" : "false");
        break;
    case 'd':
        kh_buf_addf(out, "%d", va_arg(*args, int));
        break;
    case 'l':
        kh_buf_addf(out, "%lld", (long long)va_arg(*args, int64_t));
        break;
    default:
        kh_buf_add(out, "%", 1);
    }
}

void
kh_json_addf(struct kh_buf *out, const char *format, ...)
{
    const char *next;
    va_list args;

    va_start(args, format);
    while ((next = strchr(format, '%'))) {
        kh_buf_add(out, format, (size_t)(next - format));
        add_one(out, next[1], &args);
        format = next + 2;
    }
    va_end(args);
    kh_buf_add(out, format, strlen(format));
}
