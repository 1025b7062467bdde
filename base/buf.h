/* buf: a growable run of bytes with a read end and a write end.
 *
 * Embedded by value, zero-initialised (KH_BUF_INIT or memset 0). Appending
 * grows it; consuming advances the read end and the space is reclaimed on a
 * later append. The owner bounds it: kh_buf_len before appending foreign bytes.
 */
#ifndef KH_BASE_BUF_H
#define KH_BASE_BUF_H

#include <stddef.h>

struct kh_buf {
    char *data;  /* allocation; use kh_buf_ptr */
    size_t head; /* read end */
    size_t tail; /* write end */
    size_t size; /* allocated bytes */
};

#define KH_BUF_INIT ((struct kh_buf){0})

/* Frees the bytes and leaves an empty, usable buffer. */
void kh_buf_release(struct kh_buf *buf);

static inline size_t
kh_buf_len(const struct kh_buf *buf)
{
    return buf->tail - buf->head;
}

/* First unread byte; valid until the next append or release. */
static inline char *
kh_buf_ptr(const struct kh_buf *buf)
{
    return buf->data ? buf->data + buf->head : (char *)"";
}

/* Room for at least SIZE more bytes; returns where to write them. Follow with
 * kh_buf_wrote. Aborts on OOM. */
char *kh_buf_reserve(struct kh_buf *buf, size_t size);
void kh_buf_wrote(struct kh_buf *buf, size_t size);

/* Appends bytes (aborts on OOM), or formatted text without its NUL. */
void kh_buf_add(struct kh_buf *buf, const void *p, size_t size);
void kh_buf_addf(struct kh_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops SIZE bytes (at most kh_buf_len) from the read end. Frees the
 * allocation when the buffer becomes empty and is larger than 64 KiB. */
void kh_buf_consume(struct kh_buf *buf, size_t size);

#endif
