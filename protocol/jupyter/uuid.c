#include "protocol/jupyter/uuid.h"

#include <stdio.h>
#include <string.h>

#include "base/fd.h"

void
kh_uuid_format(const unsigned char bytes[16], char ret_uuid[KH_UUID_SIZE])
{
    const unsigned char *b = bytes;

    snprintf(ret_uuid, KH_UUID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
             b[12], b[13], b[14], b[15]);
}

void
kh_uuid_make(char ret_uuid[KH_UUID_SIZE])
{
    unsigned char bytes[16];

    kh_random(bytes, sizeof(bytes));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    kh_uuid_format(bytes, ret_uuid);
}

static int
digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
kh_uuid_parse(const char *text, unsigned char ret_bytes[16])
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    unsigned char bytes[16] = {0};
    int i, n = 0, value;

    for (i = 0; shape[i]; i++) {
        if (shape[i] == '-') {
            if (text[i] != '-')
                return false;
            continue;
        }
        value = digit(text[i]);
        if (value < 0)
            return false;
        bytes[n / 2] = (unsigned char)(bytes[n / 2] << 4 | value);
        n++;
    }
    if (text[i])
        return false;
    memcpy(ret_bytes, bytes, sizeof(bytes));
    return true;
}
