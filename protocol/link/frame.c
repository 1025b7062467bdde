#include "protocol/link/frame.h"

#include <errno.h>
#include <string.h>

struct kh_slice
kh_slice_text(const char *s)
{
    return (struct kh_slice){.data = s, .size = strlen(s)};
}

static void
put(unsigned char *at, uint64_t value, int bytes)
{
    int i;

    for (i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t
get(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    int i;

    for (i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

size_t
kh_frame_size(const struct kh_frame *frame)
{
    size_t total = KH_FRAME_HEAD;
    uint32_t i;

    if (frame->count > KH_FRAME_SLICES_MAX)
        return 0;
    for (i = 0; i < frame->count; i++) {
        if (frame->slice[i].size > KH_FRAME_MAX)
            return 0;
        total += 4 + frame->slice[i].size;
    }
    return total <= KH_FRAME_MAX ? total : 0;
}

int
kh_frame_encode(const struct kh_frame *frame, struct kh_buf *out, struct kh_error *err)
{
    size_t total = kh_frame_size(frame);
    unsigned char *at;
    uint32_t i;

    if (!total)
        return kh_fail(err, EMSGSIZE, "frame of type %u is too large (limit: %u bytes)",
                       frame->type, KH_FRAME_MAX);
    at = (unsigned char *)kh_buf_reserve(out, total);
    put(at, total - 4, 4);
    put(at + 4, frame->type, 2);
    put(at + 6, frame->flags, 2);
    put(at + 8, frame->kernel, 4);
    put(at + 12, frame->id, 8);
    put(at + 20, frame->seq, 8);
    put(at + 28, frame->count, 4);
    at += KH_FRAME_HEAD;
    for (i = 0; i < frame->count; i++, at += 4)
        put(at, frame->slice[i].size, 4);
    for (i = 0; i < frame->count; i++) {
        if (frame->slice[i].size)
            memcpy(at, frame->slice[i].data, frame->slice[i].size);
        at += frame->slice[i].size;
    }
    kh_buf_wrote(out, total);
    return 0;
}

long
kh_frame_decode(const void *data, size_t size, struct kh_frame *ret_frame,
                struct kh_error *err)
{
    const unsigned char *at = data;
    size_t total, used;
    uint32_t i, count;

    if (size < 4)
        return 0;
    total = (size_t)get(at, 4) + 4;
    if (total < KH_FRAME_HEAD)
        return kh_fail(err, EBADMSG, "frame of %zu bytes is shorter than its head",
                       total);
    if (total > KH_FRAME_MAX)
        return kh_fail(err, EMSGSIZE, "frame of %zu bytes is over the limit of %u",
                       total, KH_FRAME_MAX);
    if (size < KH_FRAME_HEAD)
        return 0;
    count = (uint32_t)get(at + 28, 4);
    if (count > KH_FRAME_SLICES_MAX)
        return kh_fail(err, EBADMSG, "frame has %u slices (limit: %u)", count,
                       KH_FRAME_SLICES_MAX);
    used = KH_FRAME_HEAD + 4 * (size_t)count;
    if (total < used)
        return kh_fail(err, EBADMSG, "frame is too short for %u slices", count);
    if (size < total)
        return 0;
    ret_frame->type = (uint16_t)get(at + 4, 2);
    ret_frame->flags = (uint16_t)get(at + 6, 2);
    ret_frame->kernel = (uint32_t)get(at + 8, 4);
    ret_frame->id = get(at + 12, 8);
    ret_frame->seq = get(at + 20, 8);
    ret_frame->count = count;
    for (i = 0; i < count; i++) {
        size_t length = (size_t)get(at + KH_FRAME_HEAD + 4 * (size_t)i, 4);

        if (length > total - used)
            return kh_fail(err, EBADMSG, "slice %u reaches past its frame", i);
        ret_frame->slice[i].data = at + used;
        ret_frame->slice[i].size = length;
        used += length;
    }
    if (used != total)
        return kh_fail(err, EBADMSG, "frame has %zu bytes behind its slices",
                       total - used);
    return (long)total;
}
