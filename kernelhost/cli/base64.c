#include "kernelhost/cli/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
kh_base64_encode(struct kh_buf *out, const void *p, size_t size)
{
    const unsigned char *in = p;
    char *to = kh_buf_reserve(out, (size + 2) / 3 * 4 + 1);
    size_t used = 0, i;

    for (i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t word = (uint32_t)in[i] << 16;

        if (left > 1)
            word |= (uint32_t)in[i + 1] << 8;
        if (left > 2)
            word |= in[i + 2];
        to[used++] = alphabet[word >> 18];
        to[used++] = alphabet[word >> 12 & 63];
        to[used++] = left > 1 ? alphabet[word >> 6 & 63] : '=';
        to[used++] = left > 2 ? alphabet[word & 63] : '=';
    }
    kh_buf_wrote(out, used);
}

static int
value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int
kh_base64_decode(struct kh_buf *out, const char *text, size_t size)
{
    unsigned char *to = (unsigned char *)kh_buf_reserve(out, size / 4 * 3 + 4);
    uint32_t word = 0;
    unsigned digits = 0, padding = 0;
    size_t used = 0, i;

    for (i = 0; i < size; i++) {
        int value = value_of(text[i]);

        if (text[i] == '\n' || text[i] == '\r')
            continue;
        if (text[i] == '=' && digits >= 2 && digits + padding < 4) {
            padding++;
            continue;
        }
        if (value < 0 || padding)
            return -EBADMSG;
        word = word << 6 | (uint32_t)value;
        if (++digits == 4) {
            to[used++] = (unsigned char)(word >> 16);
            to[used++] = (unsigned char)(word >> 8);
            to[used++] = (unsigned char)word;
            word = digits = 0;
        }
    }
    if (digits && (digits + padding != 4 || digits == 1))
        return -EBADMSG;
    if (digits == 2)
        to[used++] = (unsigned char)(word >> 4);
    if (digits == 3) {
        to[used++] = (unsigned char)(word >> 10);
        to[used++] = (unsigned char)(word >> 2);
    }
    kh_buf_wrote(out, used);
    return 0;
}
