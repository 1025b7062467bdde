#include "kernelhost/cli/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "protocol/jupyter/utf8.h"

/* The code point of a well-formed character of LENGTH bytes. */
static uint32_t
point_of(const unsigned char *s, size_t length)
{
    uint32_t point = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    size_t i;

    for (i = 1; i < length; i++)
        point = point << 6 | (s[i] & 0x3fu);
    return point;
}

/* C0, DEL, C1, line separators, and the marks that turn the direction of text. */
static bool
unprintable(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
           (point >= 0x200e && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

/* Appends one character or byte of TEXT, escaped if need be; its length. */
static size_t
add_one(struct kh_buf *out, const unsigned char *s, size_t size)
{
    size_t length = kh_utf8_char(s, size, NULL, NULL), i;

    if (length && !unprintable(point_of(s, length))) {
        kh_buf_add(out, s, length);
        return length;
    }
    if (!length)
        length = 1;
    for (i = 0; i < length; i++)
        kh_buf_addf(out, "\\x%02x", s[i]);
    return length;
}

void
kh_text_safe(struct kh_buf *out, const char *text, size_t size)
{
    size_t i = 0;

    while (i < size)
        i += add_one(out, (const unsigned char *)text + i, size - i);
}

char *
kh_text_safe_copy(const char *text)
{
    struct kh_buf out = KH_BUF_INIT;

    if (text)
        kh_text_safe(&out, text, strlen(text));
    kh_buf_add(&out, "", 1);
    return out.data;
}

/* Length of a string sequence's end: up to BEL or ESC \ . */
static size_t
string_sequence(const unsigned char *s, size_t size)
{
    size_t i;

    for (i = 2; i < size; i++) {
        if (s[i] == 7)
            return i + 1;
        if (s[i] == 27)
            return i + 1 < size && s[i + 1] == '\\' ? i + 2 : i;
    }
    return size;
}

/* Length of the escape sequence at S, which begins with ESC. *ret_colour: it
 * only sets colours and weights. */
static size_t
sequence(const unsigned char *s, size_t size, bool *ret_colour)
{
    size_t i = 2;

    *ret_colour = false;
    if (size < 2)
        return 1;
    if (s[1] == ']' || s[1] == 'P' || s[1] == 'X' || s[1] == '^' || s[1] == '_')
        return string_sequence(s, size);
    if (s[1] != '[')
        return s[1] >= 0x20 && s[1] < 0x7f ? 2 : 1;
    while (i < size && ((s[i] >= '0' && s[i] <= '9') || s[i] == ';' || s[i] == ':'))
        i++;
    *ret_colour = i < size && s[i] == 'm';
    while (i < size && s[i] >= 0x20 && s[i] < 0x40)
        i++;
    return i < size && s[i] >= 0x40 && s[i] < 0x7f ? i + 1 : i;
}

void
kh_text_readable(struct kh_buf *out, const char *text, size_t size,
                 enum kh_text_colour colour)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;

    while (i < size) {
        bool colours;
        size_t length;

        if (s[i] == '\n' || s[i] == '\t') {
            kh_buf_add(out, s + i++, 1);
            continue;
        }
        if (s[i] == '\r' && i + 1 < size && s[i + 1] == '\n') {
            i++;
            continue;
        }
        if (s[i] != 27) {
            i += add_one(out, s + i, size - i);
            continue;
        }
        length = sequence(s + i, size - i, &colours);
        if (colours && colour == KH_TEXT_COLOURS)
            kh_buf_add(out, s + i, length);
        i += length;
    }
}

size_t
kh_text_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}
