#include "sandbox/init/merge.h"

#include <stdlib.h>

#include "tests/tap.h"

static const unsigned char nonce[KH_MARKER_NONCE] = "0123456789abcdef";

static void
begin(struct kh_merge *merge)
{
    *merge = (struct kh_merge){0};
    memcpy(merge->nonce, nonce, sizeof(nonce));
}

static void
put(struct kh_buf *to, const char *text)
{
    kh_buf_add(to, text, strlen(text));
}

static void
put_marker(struct kh_buf *to, uint64_t counter)
{
    unsigned char bytes[8];
    int i;

    for (i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(counter >> (8 * i));
    kh_buf_add(to, nonce, sizeof(nonce));
    kh_buf_add(to, bytes, sizeof(bytes));
}

/* Takes text until there is no more; what comes last is *ret_found. */
static void
take(struct kh_merge *merge, uint64_t frames, bool whole, struct kh_buf *text,
     enum kh_merge_found *ret_found)
{
    struct kh_slice piece;

    while ((*ret_found = kh_merge_next(merge, frames, whole, &piece)) ==
           KH_MERGE_TEXT) {
        kh_buf_add(text, piece.data, piece.size);
        kh_merge_consume(merge, piece.size);
    }
}

static void
is_taken(struct kh_merge *merge, uint64_t frames, bool whole, const char *want,
         enum kh_merge_found want_found, const char *name)
{
    struct kh_buf text = KH_BUF_INIT;
    enum kh_merge_found found;

    take(merge, frames, whole, &text, &found);
    kh_buf_add(&text, "", 1);
    is_str(kh_buf_ptr(&text), want, "%s: text", name);
    is_int(found, want_found, "%s: then", name);
    kh_buf_release(&text);
}

static void
order(void)
{
    struct kh_merge merge;

    begin(&merge);
    is_taken(&merge, 0, true, "", KH_MERGE_NOTHING, "empty");
    put(&merge.raw, "one");
    put_marker(&merge.raw, 1);
    put(&merge.raw, "two");
    put_marker(&merge.raw, 2);
    put_marker(&merge.raw, 3);
    put(&merge.raw, "three");
    is_taken(&merge, 0, true, "one", KH_MERGE_PARKED, "before frame 1");
    is_taken(&merge, 0, true, "", KH_MERGE_PARKED, "still before it");
    is_taken(&merge, 1, true, "two", KH_MERGE_PARKED, "after frame 1");
    is_taken(&merge, 2, true, "", KH_MERGE_PARKED, "after frame 2");
    is_taken(&merge, 3, true, "three", KH_MERGE_NOTHING, "after frame 3");
    kh_merge_release(&merge);
}

static void
false_markers(void)
{
    struct kh_merge merge;

    begin(&merge);
    put_marker(&merge.raw, 5);
    put(&merge.raw, "a");
    put_marker(&merge.raw, 0);
    put_marker(&merge.raw, UINT64_MAX);
    put(&merge.raw, "b");
    put_marker(&merge.raw, 9);
    put(&merge.raw, "c");
    put_marker(&merge.raw, 11);
    is_taken(&merge, 9, true, "abc", KH_MERGE_NOTHING,
             "markers of taken frames and of frames too far ahead are dropped");
    put_marker(&merge.raw, 10);
    put(&merge.raw, "d");
    is_taken(&merge, 9, true, "", KH_MERGE_PARKED, "the next one parks");
    is_taken(&merge, UINT64_MAX, true, "d", KH_MERGE_NOTHING,
             "and none when no frame will come");
    put_marker(&merge.raw, 0);
    is_taken(&merge, UINT64_MAX, true, "", KH_MERGE_NOTHING,
             "not even the one after the highest number");
    kh_merge_release(&merge);
}

static void
look_alikes(void)
{
    struct kh_merge merge;

    begin(&merge);
    put(&merge.raw, "0123456789abcdeX0123");
    is_taken(&merge, 0, false, "0123456789abcdeX", KH_MERGE_CUT,
             "the start of a nonce waits while more may follow");
    is_taken(&merge, 0, true, "0123", KH_MERGE_NOTHING,
             "and is text when the pipe was empty");
    put(&merge.raw, "0001234");
    is_taken(&merge, 0, false, "00", KH_MERGE_CUT, "a start after a false start");
    put(&merge.raw, "56789abcde");
    put(&merge.raw, "f");
    is_taken(&merge, 0, false, "", KH_MERGE_CUT, "a nonce without its counter waits");
    is_taken(&merge, 0, true, "0123456789abcdef", KH_MERGE_NOTHING,
             "and is text when the pipe was empty");
    kh_merge_release(&merge);
}

/* The same bytes in pieces of every size: text is what it is, markers are gone. */
static void
cuts(void)
{
    struct kh_buf all = KH_BUF_INIT, want = KH_BUF_INIT, got = KH_BUF_INIT;
    enum kh_merge_found found;
    struct kh_merge merge;
    size_t piece, at, wrong = 0;
    uint64_t i, frames;

    for (i = 1; i <= 20; i++) {
        put(&all, "text 0123456789abcde");
        put(&want, "text 0123456789abcde");
        put_marker(&all, i);
        put_marker(&all, i);
    }
    for (piece = 1; piece < 60; piece++) {
        begin(&merge);
        frames = 0;
        for (at = 0; at < kh_buf_len(&all); at += piece) {
            size_t rest = kh_buf_len(&all) - at;
            size_t size = rest < piece ? rest : piece;

            kh_buf_add(&merge.raw, kh_buf_ptr(&all) + at, size);
            take(&merge, frames, size == rest, &got, &found);
            while (found == KH_MERGE_PARKED)
                take(&merge, ++frames, size == rest, &got, &found);
        }
        wrong += frames != 20 || found != KH_MERGE_NOTHING ||
                 kh_buf_len(&got) != kh_buf_len(&want) ||
                 memcmp(kh_buf_ptr(&got), kh_buf_ptr(&want), kh_buf_len(&got)) != 0;
        kh_buf_release(&got);
        kh_merge_release(&merge);
    }
    is_int(wrong, 0, "reads that cut markers anywhere change nothing");
    kh_buf_release(&all);
    kh_buf_release(&want);
}

int
main(void)
{
    order();
    false_markers();
    look_alikes();
    cuts();
    return done();
}
