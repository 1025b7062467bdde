#include "sandbox/init/merge.h"
#include "tests/fuzz/fuzz.h"

/* Feeds DATA in pieces of PIECE bytes, taking each frame as soon as its marker is
 * met; collects the text. Returns the frames taken. */
static uint64_t
feed(const uint8_t *data, size_t size, size_t piece, struct kh_buf *text)
{
    struct kh_merge merge = {.nonce = "0123456789abcde"};
    enum kh_merge_found found = KH_MERGE_NOTHING;
    struct kh_slice slice;
    uint64_t frames = 0;

    kh_buf_consume(text, kh_buf_len(text));
    while (size || found == KH_MERGE_PARKED || found == KH_MERGE_TEXT) {
        if (found == KH_MERGE_PARKED) {
            frames++;
        } else if (found == KH_MERGE_TEXT) {
            kh_buf_add(text, slice.data, slice.size);
            kh_merge_consume(&merge, slice.size);
        } else {
            piece = piece < size ? piece : size;
            kh_buf_add(&merge.raw, data, piece);
            data += piece;
            size -= piece;
        }
        found = kh_merge_next(&merge, frames, !size, &slice);
    }
    MUST(found == KH_MERGE_NOTHING);
    kh_merge_release(&merge);
    return frames;
}

/* Where our reads cut the pipe changes nothing. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kh_buf whole, pieces;
    uint64_t frames = feed(data, size, size + 1, &whole);
    size_t piece = size ? data[0] % 40 + 1u : 1;

    MUST(feed(data, size, piece, &pieces) == frames);
    MUST(kh_buf_len(&whole) == kh_buf_len(&pieces));
    MUST(!memcmp(kh_buf_ptr(&whole), kh_buf_ptr(&pieces), kh_buf_len(&whole)));
    return 0;
}
