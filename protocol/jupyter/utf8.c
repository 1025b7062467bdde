#include "protocol/jupyter/utf8.h"

#include <stdint.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* What may follow a lead byte: Unicode table 3-7, well-formed byte sequences. */
static const struct lead {
    unsigned char first, last; /* lead bytes */
    unsigned char length;
    unsigned char low, high; /* second byte; all later ones are 80..bf */
} leads[] = {
    {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f},
    {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
    {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

static size_t
refuse(size_t bad, bool cut, size_t *ret_bad, bool *ret_cut)
{
    if (ret_bad)
        *ret_bad = bad;
    if (ret_cut)
        *ret_cut = cut;
    return 0;
}

static const struct lead *
find_lead(unsigned char byte)
{
    size_t i;

    for (i = 0; i < sizeof(leads) / sizeof(*leads); i++)
        if (byte >= leads[i].first && byte <= leads[i].last)
            return &leads[i];
    return NULL;
}

size_t
kh_utf8_char(const void *data, size_t size, size_t *ret_bad, bool *ret_cut)
{
    const unsigned char *s = data;
    const struct lead *lead;
    size_t i;

    if (!size)
        return refuse(0, true, ret_bad, ret_cut);
    if (s[0] < 0x80)
        return 1;
    lead = find_lead(s[0]);
    if (!lead)
        return refuse(1, false, ret_bad, ret_cut);
    for (i = 1; i < lead->length; i++) {
        unsigned char low = i == 1 ? lead->low : 0x80;
        unsigned char high = i == 1 ? lead->high : 0xbf;

        if (i == size)
            return refuse(i, true, ret_bad, ret_cut);
        if (s[i] < low || s[i] > high)
            return refuse(i, false, ret_bad, ret_cut);
    }
    return lead->length;
}

/* Length of the run of ASCII at the start; eight bytes a step. */
static size_t
ascii_run(const unsigned char *s, size_t size)
{
    size_t i = 0;
    uint64_t word;

    for (; size - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, s + i, sizeof(word));
        if (word & 0x8080808080808080u)
            break;
    }
    while (i < size && s[i] < 0x80)
        i++;
    return i;
}

/* Length of the longest well-formed beginning. */
static size_t
good_run(const unsigned char *s, size_t size)
{
    size_t i = 0, n;

    for (;;) {
        i += ascii_run(s + i, size - i);
        n = kh_utf8_char(s + i, size - i, NULL, NULL);
        if (!n)
            return i;
        i += n;
    }
}

/* Eight bytes a step. The word tests may see a byte behind a hit as a hit too,
 * which the loop behind puts right. */
size_t
kh_utf8_plain(const void *data, size_t size)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    const unsigned char *s = data;
    uint64_t word, quote, slash;
    size_t i = 0;

    for (; size - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, s + i, sizeof(word));
        quote = word ^ (ones * '"');
        slash = word ^ (ones * '\\');
        if ((word | ((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
             ((slash - ones) & ~slash)) &
            highs)
            break;
    }
    while (i < size && s[i] >= 0x20 && s[i] < 0x80 && s[i] != '"' && s[i] != '\\')
        i++;
    return i;
}

bool
kh_utf8_valid(struct kh_slice text)
{
    return good_run(text.data, text.size) == text.size;
}

/* Finishes the held character with bytes of IN. Returns how many it took. */
static size_t
feed_held(struct kh_utf8 *utf8, struct kh_slice in, struct kh_buf *out)
{
    unsigned char joined[sizeof(utf8->held)];
    size_t take = sizeof(joined) - utf8->count, held = utf8->count, n, bad = 0;
    bool cut = false;

    if (take > in.size)
        take = in.size;
    memcpy(joined, utf8->held, held);
    memcpy(joined + held, in.data, take);
    n = kh_utf8_char(joined, held + take, &bad, &cut);
    if (!n && cut) {
        memcpy(utf8->held, joined, held + take);
        utf8->count += take;
        return take;
    }
    utf8->count = 0;
    if (n)
        kh_buf_add(out, joined, n);
    else
        kh_buf_add(out, REPLACEMENT, 3);
    /* What was held is the beginning of a character, so it is never longer
     * than the subpart that is replaced. */
    return (n ? n : bad) - held;
}

void
kh_utf8_feed(struct kh_utf8 *utf8, struct kh_slice in, struct kh_buf *out)
{
    const unsigned char *s = in.data;
    size_t i = 0, n, bad = 0;
    bool cut = false;

    if (utf8->count && in.size)
        i = feed_held(utf8, in, out);
    while (i < in.size) {
        n = good_run(s + i, in.size - i);
        kh_buf_add(out, s + i, n);
        i += n;
        if (i == in.size)
            return;
        kh_utf8_char(s + i, in.size - i, &bad, &cut);
        if (cut) {
            memcpy(utf8->held, s + i, bad);
            utf8->count = bad;
            return;
        }
        kh_buf_add(out, REPLACEMENT, 3);
        i += bad;
    }
}

void
kh_utf8_end(struct kh_utf8 *utf8, struct kh_buf *out)
{
    if (utf8->count)
        kh_buf_add(out, REPLACEMENT, 3);
    utf8->count = 0;
}
