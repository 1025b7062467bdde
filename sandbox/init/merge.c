#include "sandbox/init/merge.h"

#include <string.h>

static uint64_t
counter_at(const unsigned char *at)
{
    uint64_t value = 0;
    int i;

    for (i = 7; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* Length of the longest end of the SIZE bytes at P that begins a nonce. */
static size_t
begun(const struct kh_merge *merge, const char *p, size_t size)
{
    size_t n = size < KH_MARKER_NONCE ? size : KH_MARKER_NONCE - 1;

    while (n && memcmp(p + size - n, merge->nonce, n))
        n--;
    return n;
}

/* Text up to SIZE at the front; CUT when there is none. */
static enum kh_merge_found
text(const char *p, size_t size, struct kh_slice *ret_text)
{
    if (!size)
        return KH_MERGE_CUT;
    *ret_text = (struct kh_slice){.data = p, .size = size};
    return KH_MERGE_TEXT;
}

enum kh_merge_found
kh_merge_next(struct kh_merge *merge, uint64_t frames, bool whole,
              struct kh_slice *ret_text)
{
    for (;;) {
        const char *p = kh_buf_ptr(&merge->raw);
        size_t size = kh_buf_len(&merge->raw);
        const char *at;
        uint64_t counter;

        if (!size)
            return KH_MERGE_NOTHING;
        at = memmem(p, size, merge->nonce, KH_MARKER_NONCE);
        if (!at)
            return text(p, whole ? size : size - begun(merge, p, size), ret_text);
        if (at > p)
            return text(p, (size_t)(at - p), ret_text);
        if (size < KH_MARKER_SIZE)
            return text(p, whole ? size : 0, ret_text);
        counter = counter_at((const unsigned char *)p + KH_MARKER_NONCE);
        if (counter > frames && counter - frames == 1)
            return KH_MERGE_PARKED;
        kh_buf_consume(&merge->raw, KH_MARKER_SIZE);
    }
}

void
kh_merge_consume(struct kh_merge *merge, size_t size)
{
    kh_buf_consume(&merge->raw, size);
}

void
kh_merge_release(struct kh_merge *merge)
{
    kh_buf_release(&merge->raw);
}
