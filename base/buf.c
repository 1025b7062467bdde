#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define KEEP_WHEN_EMPTY (64 * 1024)

void
kh_buf_release(struct kh_buf *buf)
{
    free(buf->data);
    memset(buf, 0, sizeof(*buf));
}

char *
kh_buf_reserve(struct kh_buf *buf, size_t size)
{
    size_t used = kh_buf_len(buf);
    size_t want;

    if (buf->size - buf->tail >= size && buf->data)
        return buf->data + buf->tail;
    if (buf->data && buf->head) {
        memmove(buf->data, buf->data + buf->head, used);
        buf->head = 0;
        buf->tail = used;
    }
    if (buf->size - used < size) {
        want = buf->size ? buf->size : 256;
        while (want - used < size)
            want *= 2;
        buf->data = kh_xrealloc(buf->data, want);
        buf->size = want;
    }
    return buf->data + buf->tail;
}

void
kh_buf_wrote(struct kh_buf *buf, size_t size)
{
    buf->tail += size;
}

void
kh_buf_add(struct kh_buf *buf, const void *p, size_t size)
{
    if (!size)
        return;
    memcpy(kh_buf_reserve(buf, size), p, size);
    buf->tail += size;
}

void
kh_buf_addf(struct kh_buf *buf, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        return;
    va_start(args, format);
    vsnprintf(kh_buf_reserve(buf, (size_t)n + 1), (size_t)n + 1, format, args);
    va_end(args);
    buf->tail += (size_t)n;
}

void
kh_buf_consume(struct kh_buf *buf, size_t size)
{
    buf->head += size;
    if (buf->head < buf->tail)
        return;
    buf->head = buf->tail = 0;
    if (buf->size > KEEP_WHEN_EMPTY)
        kh_buf_release(buf);
}
