#include "protocol/jupyter/replay.h"

#include <stdint.h>
#include <stdlib.h>

#include "tests/tap.h"

/* A signature as HMAC gives them: nothing about its bits can be relied upon. */
static struct kh_slice
signature(uint64_t n, char text[65])
{
    uint64_t x = n * 0x9e3779b97f4a7c15u + 1;
    int i;

    for (i = 0; i < 4; i++) {
        x ^= x >> 29;
        x *= 0xbf58476d1ce4e5b9u;
        x ^= x >> 32;
        snprintf(text + 16 * i, 17, "%016llx", (unsigned long long)x);
    }
    return (struct kh_slice){text, 64};
}

/* How many of the numbers from..to-1 are taken as new. */
static size_t
taken(struct kh_replay *replay, uint64_t from, uint64_t to)
{
    char text[65];
    size_t count = 0;

    for (; from < to; from++)
        count += kh_replay_note(replay, signature(from, text));
    return count;
}

static void
first_in_first_out(size_t max)
{
    AUTO(kh_replay) struct kh_replay *replay = kh_replay_new(max);

    is_int(taken(replay, 0, max), max, "window of %zu: each is new once", max);
    is_int(taken(replay, 0, max), 0, "and none twice");
    is_int(taken(replay, max, 3 * max), 2 * max, "it goes on when it is full");
    is_int(taken(replay, 2 * max, 3 * max), 0, "it holds exactly the newest");
    is_int(taken(replay, max, max + 1), 1, "what came before them is gone");
    is_int(taken(replay, 2 * max, 2 * max + 1), 1, "one out for one in");
    is_int(taken(replay, 2 * max + 2, 3 * max), 0, "and the others are still there");
}

/* Signatures that differ in few bits only, at either end of what is hashed. */
static void
similar(void)
{
    AUTO(kh_replay) struct kh_replay *replay = kh_replay_new(4096);
    char text[65];
    int i, count = 0;

    for (i = 0; i < 1024; i++) {
        snprintf(text, sizeof(text), "%064d", 0);
        snprintf(text + 13, 4, "%03x", i);
        text[16] = '0';
        count += kh_replay_note(replay, (struct kh_slice){text, 64});
        snprintf(text, sizeof(text), "%03x%061d", i + 1, 0);
        count += kh_replay_note(replay, (struct kh_slice){text, 64});
    }
    is_int(count, 2048, "similar signatures are told apart");
}

int
main(void)
{
    AUTO(kh_replay) struct kh_replay *replay = kh_replay_new(KH_REPLAY_MAX);

    first_in_first_out(64);
    first_in_first_out(4096);
    similar();
    is_int(taken(replay, 0, 1000000), 1000000, "a million messages are new");
    is_int(taken(replay, 0, 1), 0, "the first of them is still known");
    is_int(taken(replay, 500000, 500100), 0, "and those in the middle");
    return done();
}
