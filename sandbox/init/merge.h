/* merge: finds the markers in one output pipe of a runner.
 *
 * protocol/link/runner.h says why: the runner writes a marker (nonce and the
 * frame's counter) into both pipes before each frame, so that text and frames
 * keep their order. A merge holds what was read from one pipe and not passed on
 * yet, and cuts it into text and markers:
 *
 *   - the marker of the next frame parks the pipe: what follows it is later
 *     than a frame that has not been taken from the socket yet;
 *   - a marker of a frame already taken, or of one further ahead than the next,
 *     is dropped. An honest runner never leaves the second kind at the front of
 *     a pipe; a dishonest one only disturbs the order of its own output.
 *
 * Markers are written at once and pipes keep such writes whole, so a marker can
 * be cut only by the end of our own read; when the pipe is known to be empty
 * (WHOLE), bytes that look like the start of one are text. The nonce must not end
 * as it begins (runner.c sees to it). Pure: no I/O.
 */
#ifndef KH_INIT_MERGE_H
#define KH_INIT_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "protocol/link/frame.h"
#include "protocol/link/runner.h"

/* Most bytes held, and so the largest piece of text. */
#define KH_MERGE_MAX (64u * 1024)

enum kh_merge_found {
    KH_MERGE_NOTHING, /* empty */
    KH_MERGE_TEXT,    /* a piece of text is at the front */
    KH_MERGE_CUT,     /* what may be a piece of a marker: read more */
    KH_MERGE_PARKED,  /* the marker of the next frame is at the front */
};

struct kh_merge {
    unsigned char nonce[KH_MARKER_NONCE];
    struct kh_buf raw;
};

/* Says what is at the front, after dropping markers as above. FRAMES counts the
 * frames taken from the socket (UINT64_MAX: no more will come). With
 * KH_MERGE_TEXT *ret_text points into the merge until the next call; the caller
 * passes it on and then calls kh_merge_consume with its size. */
enum kh_merge_found kh_merge_next(struct kh_merge *merge, uint64_t frames, bool whole,
                                  struct kh_slice *ret_text);
void kh_merge_consume(struct kh_merge *merge, size_t size);

void kh_merge_release(struct kh_merge *merge);

#endif
