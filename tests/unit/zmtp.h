/* zmtp: what libzmq would write, for the tests of those who read it. */
#ifndef KH_TESTS_ZMTP_H
#define KH_TESTS_ZMTP_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ZMTP_SESSION "01234567-89ab-cdef-0123-456789abcdef"

static inline size_t
zmtp_greeting(char *out)
{
    memset(out, 0, 64);
    memcpy(out, "\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL", 16);
    return 64;
}

static inline size_t
zmtp_frame(char *out, unsigned flags, const void *data, size_t size)
{
    size_t at = 0;
    int i;

    out[at++] = (char)(flags | (size > 255 ? 2 : 0));
    for (i = size > 255 ? 7 : 0; i >= 0; i--)
        out[at++] = (char)(size >> (8 * i));
    if (size)
        memcpy(out + at, data, size);
    return at + size;
}

/* A message on iopub whose msg_id ends with POSITION (0: with x7), SIZE bytes of
 * content. */
static inline size_t
zmtp_message(char *out, uint64_t position, const char *content, size_t size)
{
    char header[200];
    size_t at = 0;
    int n = position ? snprintf(header, sizeof(header),
                                "{\"msg_id\":\"" ZMTP_SESSION "_%llu\",\"a\":1}",
                                (unsigned long long)position)
                     : snprintf(header, sizeof(header),
                                "{\"msg_id\":\"" ZMTP_SESSION "_x7\",\"a\":1}");

    at += zmtp_frame(out + at, 1, "kernel.x.stream", 15);
    at += zmtp_frame(out + at, 1, "<IDS|MSG>", 9);
    at += zmtp_frame(out + at, 1, "signature", 9);
    at += zmtp_frame(out + at, 1, header, (size_t)n);
    at += zmtp_frame(out + at, 1, "{}", 2);
    at += zmtp_frame(out + at, 1, "{}", 2);
    return at + zmtp_frame(out + at, 0, content, size);
}

#endif
