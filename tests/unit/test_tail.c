#include "kernelhost/gateway/tail.h"

#include <stdlib.h>

#include "tests/tap.h"

static struct kh_tail *tail;
static char bytes[KH_TAIL_BYTES];

static char
byte_at(uint64_t at)
{
    return (char)(at * 7 + at / 251);
}

/* Adds SIZE bytes at AT that end with the message at POSITION. */
static void
add(uint64_t at, size_t size, uint64_t position)
{
    struct kh_zmtp_end end = {.offset = (uint32_t)size, .position = position};
    size_t i;

    for (i = 0; i < size; i++)
        bytes[i] = byte_at(at + i);
    kh_tail_add(tail, at, bytes, size, &end, position ? 1 : 0);
}

/* True when all from FROM up to TO can be read and is right. */
static bool
reads(uint64_t from, uint64_t to)
{
    while (from < to) {
        const char *data;
        size_t size = kh_tail_read(tail, from, to, &data), i;

        if (!size)
            return false;
        for (i = 0; i < size; i++)
            if (data[i] != byte_at(from + i))
                return false;
        from += size;
    }
    return true;
}

static void
levels(void)
{
    uint64_t end = 0;

    ok(kh_tail_ahead(tail, 1) && !kh_tail_find(tail, 1, &end), "an empty one");
    kh_tail_begin(tail, 10);
    ok(kh_tail_find(tail, 10, &end) && end == 0, "it begins behind a message");
    add(0, 100, 11);
    add(100, 50, 0);
    add(150, 30, 12);
    ok(kh_tail_find(tail, 11, &end) && end == 100, "a message ends in it");
    ok(kh_tail_find(tail, 12, &end) && end == 180, "and another one");
    ok(!kh_tail_find(tail, 9, &end) && !kh_tail_find(tail, 13, &end), "no others do");
    ok(kh_tail_ahead(tail, 13) && !kh_tail_ahead(tail, 9), "some are newer");
    ok(reads(0, 180) && reads(99, 151), "all of it can be read");
    add(100, 50, 0);
    add(100, 80, 12);
    is_int(tail->size, 180, "what a second connection writes is there already");
    add(150, 60, 13);
    ok(tail->size == 210 && reads(0, 210), "but for what it is ahead");
    add(300, 10, 14);
    ok(tail->size == 210 && !kh_tail_find(tail, 14, &end), "a gap is not filled");
    kh_tail_begin(tail, 20);
    ok(kh_tail_find(tail, 20, &end) && end == 210 && !kh_tail_find(tail, 12, &end),
       "it can begin anew");
}

static void
limits(void)
{
    uint64_t at = tail->size, end, first = at, position = 21;
    const char *data;

    while (tail->size < first + 5 * KH_TAIL_BYTES) {
        at = tail->size;
        add(at, 30000, position++);
    }
    at = tail->size;
    ok(reads(at - KH_TAIL_BYTES + KH_TAIL_PIECE, at), "the last bytes are kept");
    ok(!kh_tail_read(tail, at - KH_TAIL_BYTES, at, &data) &&
           !kh_tail_read(tail, at, at + 1, &data) && !kh_tail_read(tail, at, at, &data),
       "others cannot be read");
    while (position < 5000)
        add(tail->size, 1, position++);
    ok(kh_tail_find(tail, 4999, &end) && end == tail->size, "the last messages");
    ok(kh_tail_find(tail, 5000 - KH_TAIL_MARKS + 1, &end) &&
           !kh_tail_find(tail, 5000 - KH_TAIL_MARKS, &end),
       "as many as there is room for");
    add(tail->size, KH_TAIL_BYTES, position);
    ok(kh_tail_find(tail, position, &end) && reads(end - 1000, end),
       "a message that is larger than all of it");
}

int
main(void)
{
    tail = calloc(1, sizeof(*tail));
    if (!tail)
        return 1;
    levels();
    limits();
    free(tail);
    return done();
}
