#include "kernelhost/gateway/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
kh_base64_add(struct kh_buf *out, struct kh_slice bytes)
{
    const unsigned char *in = bytes.data;
    size_t size = (bytes.size + 2) / 3 * 4, i;
    char *at = kh_buf_reserve(out, size);

    for (i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)in[i] << 16;

        if (left > 1)
            group |= (uint32_t)in[i + 1] << 8;
        if (left > 2)
            group |= in[i + 2];
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        *at++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *at++ = left > 2 ? alphabet[group & 63] : '=';
    }
    kh_buf_wrote(out, size);
}

static int
value_of(unsigned char c)
{
    const char *at = c ? memchr(alphabet, c, 64) : NULL;

    return at ? (int)(at - alphabet) : -1;
}

/* The bytes of one group of four characters, the last of which has PAD times
 * '='. Returns their number or -1. */
static int
decode_group(const unsigned char *in, int pad, unsigned char *out)
{
    uint32_t group = 0;
    int i;

    for (i = 0; i < 4; i++) {
        int value = i < 4 - pad ? value_of(in[i]) : 0;

        if (value < 0)
            return -1;
        group = group << 6 | (uint32_t)value;
    }
    out[0] = (unsigned char)(group >> 16);
    out[1] = (unsigned char)(group >> 8);
    out[2] = (unsigned char)group;
    if ((pad == 2 && out[1]) || (pad && out[2]))
        return -1;
    return 3 - pad;
}

int
kh_base64_decode(struct kh_slice text, struct kh_buf *out, struct kh_error *err)
{
    const unsigned char *in = text.data;
    size_t i, used = 0;
    unsigned char *to;
    int pad = 0;

    if (text.size % 4)
        return kh_fail(err, EBADMSG, "base64 of %zu characters is cut", text.size);
    if (!text.size)
        return 0;
    if (in[text.size - 1] == '=')
        pad = in[text.size - 2] == '=' ? 2 : 1;
    to = (unsigned char *)kh_buf_reserve(out, text.size / 4 * 3);
    for (i = 0; i < text.size; i += 4) {
        int n = decode_group(in + i, i + 4 == text.size ? pad : 0, to + used);

        if (n < 0)
            return kh_fail(err, EBADMSG, "base64 is wrong at character %zu", i);
        used += (size_t)n;
    }
    kh_buf_wrote(out, used);
    return 0;
}
