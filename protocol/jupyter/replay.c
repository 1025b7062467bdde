#include "protocol/jupyter/replay.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"

#define FIRST_BITS 6
#define FIRST_SIZE (1u << FIRST_BITS)

/* A ring of tags in order of arrival, and a hash table of places in the ring,
 * twice as large, with linear probing. 0 in the table is a free slot; else a
 * place plus one. */
struct kh_replay {
    uint64_t factor[2]; /* random, odd */
    uint64_t *ring;
    uint32_t *table;
    size_t size; /* of the ring, a power of two */
    int shift;   /* 64 less the table's bits */
    size_t max;
    size_t count; /* tags in the ring */
    size_t next;  /* place for the next one; the oldest when it is full */
};

struct kh_replay *
kh_replay_new(size_t max)
{
    struct kh_replay *replay;

    if (max < FIRST_SIZE || max > KH_REPLAY_MAX || (max & (max - 1)))
        abort();
    replay = kh_xcalloc(1, sizeof(*replay));
    kh_random(replay->factor, sizeof(replay->factor));
    replay->factor[0] |= 1;
    replay->factor[1] |= 1;
    replay->max = max;
    replay->size = FIRST_SIZE;
    replay->shift = 64 - FIRST_BITS - 1;
    replay->ring = kh_xcalloc(replay->size, sizeof(*replay->ring));
    replay->table = kh_xcalloc(replay->size * 2, sizeof(*replay->table));
    return replay;
}

void
kh_replay_free(struct kh_replay *replay)
{
    if (!replay)
        return;
    free(replay->ring);
    free(replay->table);
    free(replay);
}

static int
digit(unsigned char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Multiplication by a secret odd factor is a universal hash in its high bits:
 * who does not know the factors cannot aim at a slot or a tag. Hexadecimal is
 * packed first, so that 128 bits of the signature count. */
static uint64_t
make_tag(const struct kh_replay *replay, struct kh_slice signature)
{
    const unsigned char *s = signature.data;
    uint64_t word[2] = {0, 0};
    size_t i;

    for (i = 0; i < signature.size && i < 32; i++)
        word[i / 16] = word[i / 16] << 4 | (uint64_t)(digit(s[i]) & 15);
    return word[0] * replay->factor[0] + word[1] * replay->factor[1];
}

static size_t
slot_of(const struct kh_replay *replay, uint64_t tag)
{
    return (size_t)(tag >> replay->shift);
}

/* The slot that holds TAG, or the free one where it would go. */
static size_t
find(const struct kh_replay *replay, uint64_t tag)
{
    size_t mask = replay->size * 2 - 1, at = slot_of(replay, tag);

    while (replay->table[at] && replay->ring[replay->table[at] - 1] != tag)
        at = (at + 1) & mask;
    return at;
}

/* Frees a slot and moves up what probing put behind it. */
static void
forget(struct kh_replay *replay, uint64_t tag)
{
    size_t mask = replay->size * 2 - 1, hole = find(replay, tag), at = hole, home;

    for (;;) {
        at = (at + 1) & mask;
        if (!replay->table[at])
            break;
        home = slot_of(replay, replay->ring[replay->table[at] - 1]);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        replay->table[hole] = replay->table[at];
        hole = at;
    }
    replay->table[hole] = 0;
}

/* Twice the size; the ring is full, and its oldest is at place 0 until it has
 * its largest size, so the order stays. */
static void
grow(struct kh_replay *replay)
{
    size_t i;

    replay->next = replay->size;
    replay->size *= 2;
    replay->shift--;
    replay->ring = kh_xrealloc(replay->ring, replay->size * sizeof(*replay->ring));
    free(replay->table);
    replay->table = kh_xcalloc(replay->size * 2, sizeof(*replay->table));
    for (i = 0; i < replay->count; i++)
        replay->table[find(replay, replay->ring[i])] = (uint32_t)i + 1;
}

bool
kh_replay_note(struct kh_replay *replay, struct kh_slice signature)
{
    uint64_t tag = make_tag(replay, signature);

    if (replay->table[find(replay, tag)])
        return false;
    if (replay->count == replay->size && replay->size < replay->max)
        grow(replay);
    if (replay->count == replay->size)
        forget(replay, replay->ring[replay->next]);
    else
        replay->count++;
    replay->ring[replay->next] = tag;
    replay->table[find(replay, tag)] = (uint32_t)replay->next + 1;
    replay->next = (replay->next + 1) & (replay->size - 1);
    return true;
}
