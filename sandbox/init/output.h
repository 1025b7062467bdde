/* output: one output pipe of a runner: reads it and passes its text on.
 *
 * Embedded in a runner. Where text may go and where it must wait for a frame is
 * decided by the merge in it; when to read is decided by the runner.
 */
#ifndef KH_INIT_OUTPUT_H
#define KH_INIT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/link/runner.h"
#include "sandbox/init/loop.h"
#include "sandbox/init/merge.h"

/* Text is passed on at once, but not more often than this: a program that
 * writes single bytes must not become a frame a byte. Milliseconds. */
#define KH_OUTPUT_PAUSE 5

/* Less than this in one read is little; a pipe holds 16 times as much. */
#define KH_OUTPUT_LITTLE 4096

struct kh_output {
    struct kh_source source;
    struct kh_merge merge;
    enum kh_stream stream;
    void (*text)(void *owner, enum kh_stream stream, struct kh_slice text);
    void *owner;
    bool whole;       /* the last read ended where somebody's write did */
    bool closed;      /* nobody can write any more: what is there is all */
    size_t fresh;     /* bytes at the end of what is held that the last read brought */
    uint64_t seen;    /* ns: when those were seen to be there */
    size_t left;      /* bytes still to be read; SIZE_MAX: no end in sight */
    uint64_t flushed; /* when text was passed on last */
    uint64_t due;     /* when text that waits must be; KH_NEVER */
};

/* Reads once, up to KH_MERGE_MAX held. Returns the bytes read, 0 when there was
 * nothing, no space or the end (left is 0 then). */
size_t kh_output_read(struct kh_output *output);

/* True when text that was read must be passed on now; if it may wait, sets due. */
bool kh_output_urgent(struct kh_output *output);

/* True while text waits for its time and little came: more may gather in the pipe, so
 * that each line of a program that flushes does not wake us. */
bool kh_output_rests(const struct kh_output *output);

/* Passes on what was read, up to the marker of frame FRAMES + 1. */
void kh_output_pass(struct kh_output *output, uint64_t frames);

/* Passes on everything before the marker of frame FRAMES + 1, reading what that
 * takes. The marker was written before the frame was sent, so it is either
 * there or was never written. */
void kh_output_until_frame(struct kh_output *output, uint64_t frames);

/* The same for a frame without markers, whose sender saw both pipes empty at STAMP
 * (nanoseconds of CLOCK_MONOTONIC) and sent it then: everything that was there
 * before has been read, and what was seen later belongs behind the frame. */
void kh_output_until_stamp(struct kh_output *output, uint64_t frames, uint64_t stamp);

/* From now on only what the pipe holds at this moment is read. */
void kh_output_limit(struct kh_output *output);

/* Reads and passes on one piece of what is left, when no frame will come any
 * more. False when nothing is left. */
bool kh_output_drain(struct kh_output *output);

/* True while reading makes sense. */
bool kh_output_open(const struct kh_output *output);

void kh_output_close(struct kh_output *output);

#endif
