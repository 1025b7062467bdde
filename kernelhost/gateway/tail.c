#include "kernelhost/gateway/tail.h"

#include <stdatomic.h>
#include <string.h>

void
kh_tail_begin(struct kh_tail *tail, uint64_t position)
{
    tail->marks = 0;
    atomic_signal_fence(memory_order_seq_cst);
    tail->mark[0] = (struct kh_tail_mark){.position = position, .end = tail->size};
    atomic_signal_fence(memory_order_seq_cst);
    tail->marks = 1;
}

static const struct kh_tail_mark *
mark_at(const struct kh_tail *tail, uint64_t index)
{
    return &tail->mark[index % KH_TAIL_MARKS];
}

/* The oldest place is the one that is written next. */
static uint64_t
first_mark(const struct kh_tail *tail)
{
    return tail->marks >= KH_TAIL_MARKS ? tail->marks - KH_TAIL_MARKS + 1 : 0;
}

bool
kh_tail_find(const struct kh_tail *tail, uint64_t position, uint64_t *ret_end)
{
    uint64_t i = tail->marks;

    while (i > first_mark(tail)) {
        const struct kh_tail_mark *mark = mark_at(tail, --i);

        if (mark->position == position) {
            *ret_end = mark->end;
            return true;
        }
        if (mark->position < position)
            return false;
    }
    return false;
}

bool
kh_tail_ahead(const struct kh_tail *tail, uint64_t position)
{
    return !tail->marks || mark_at(tail, tail->marks - 1)->position < position;
}

static void
add_marks(struct kh_tail *tail, uint64_t at, const struct kh_zmtp_end *ends,
          size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (!kh_tail_ahead(tail, ends[i].position))
            continue;
        tail->mark[tail->marks % KH_TAIL_MARKS] = (struct kh_tail_mark){
            .position = ends[i].position, .end = at + ends[i].offset};
        atomic_signal_fence(memory_order_seq_cst);
        tail->marks++;
    }
}

static void
add_bytes(struct kh_tail *tail, const char *data, size_t size)
{
    while (size) {
        size_t at = tail->size % KH_TAIL_BYTES;
        size_t piece = KH_TAIL_BYTES - at;

        if (piece > size)
            piece = size;
        if (piece > KH_TAIL_PIECE)
            piece = KH_TAIL_PIECE;
        memcpy(tail->bytes + at, data, piece);
        atomic_signal_fence(memory_order_seq_cst);
        tail->size += piece;
        data += piece;
        size -= piece;
    }
}

void
kh_tail_add(struct kh_tail *tail, uint64_t at, const void *data, size_t size,
            const struct kh_zmtp_end *ends, size_t count)
{
    uint64_t there = tail->size > at ? tail->size - at : 0;

    if (at > tail->size)
        return; /* a gap: it was begun for somebody else */
    if (there < size)
        add_bytes(tail, (const char *)data + there, size - (size_t)there);
    add_marks(tail, at, ends, count);
}

size_t
kh_tail_read(const struct kh_tail *tail, uint64_t from, uint64_t to,
             const char **ret_data)
{
    size_t at = from % KH_TAIL_BYTES, most = KH_TAIL_BYTES - at;

    if (from >= to || to > tail->size ||
        tail->size - from > KH_TAIL_BYTES - KH_TAIL_PIECE)
        return 0;
    *ret_data = tail->bytes + at;
    return to - from < most ? (size_t)(to - from) : most;
}
