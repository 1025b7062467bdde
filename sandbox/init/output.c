#include "sandbox/init/output.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Text that may belong before one frame: more than a pipe can hold (1 MiB, the
 * default of pipe-max-size). Only somebody who goes on writing while we read can
 * reach it. */
#define TEXT_A_FRAME (2u * 1024 * 1024)

#define SETTLE_READS 8

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* How much there is to read now, and that it was there at output->seen. */
static size_t
look(struct kh_output *output)
{
    int n = 0;

    if (ioctl(output->source.fd, FIONREAD, &n) < 0 || n < 0)
        n = 0;
    output->seen = now_ns();
    return (size_t)n;
}

size_t
kh_output_read(struct kh_output *output)
{
    struct kh_buf *raw = &output->merge.raw;
    size_t space = KH_MERGE_MAX - kh_buf_len(raw), there;
    ssize_t n;

    if (space > output->left)
        space = output->left;
    if (!space || output->source.fd < 0)
        return 0;
    there = look(output);
    output->fresh = 0;
    if (!there && output->closed)
        output->left = 0;
    /* Writes up to PIPE_BUF come whole: all that is there cuts no marker. */
    output->whole = there <= space;
    if (!there)
        return 0;
    n = read(output->source.fd, kh_buf_reserve(raw, space),
             there < space ? there : space);
    if (n <= 0) {
        /* A child of the runner may read its own output, and leave us nothing. */
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            output->left = 0;
        return 0;
    }
    kh_buf_wrote(raw, (size_t)n);
    output->fresh = (size_t)n;
    if (output->left != SIZE_MAX)
        output->left -= (size_t)n;
    return (size_t)n;
}

/* Passes on the text up to the marker of the next frame, as far as it was read, but
 * not the last KEEP bytes. Returns false when more must be read to say whether text
 * follows. */
static bool
pass(struct kh_output *output, uint64_t frames, size_t keep)
{
    const struct kh_buf *raw = &output->merge.raw;
    struct kh_slice text;
    enum kh_merge_found found;

    output->due = KH_NEVER;
    for (;;) {
        if (keep && kh_buf_len(raw) <= keep)
            return true;
        found = kh_merge_next(&output->merge, frames, output->whole || !output->left,
                              &text);
        if (found != KH_MERGE_TEXT)
            return found != KH_MERGE_CUT;
        if (kh_buf_len(raw) <= keep)
            return true; /* it dropped a marker */
        if (text.size > kh_buf_len(raw) - keep)
            text.size = kh_buf_len(raw) - keep;
        output->text(output->owner, output->stream, text);
        kh_merge_consume(&output->merge, text.size);
        output->flushed = kh_now();
    }
}

/* As pass; what may be the start of a marker is settled by reading on. One read
 * settles it, unless somebody ends every 64 KiB with the start of one. */
void
kh_output_pass(struct kh_output *output, uint64_t frames)
{
    int i;

    for (i = 0; i < SETTLE_READS && !pass(output, frames, 0); i++)
        kh_output_read(output);
}

bool
kh_output_urgent(struct kh_output *output)
{
    size_t held = kh_buf_len(&output->merge.raw);

    if (!held)
        return false;
    if (held >= KH_MERGE_MAX / 2 || !output->left ||
        kh_now() - output->flushed >= KH_OUTPUT_PAUSE)
        return true;
    if (output->due == KH_NEVER)
        output->due = output->flushed + KH_OUTPUT_PAUSE;
    return false;
}

bool
kh_output_rests(const struct kh_output *output)
{
    return output->due != KH_NEVER && output->fresh < KH_OUTPUT_LITTLE &&
           output->left == SIZE_MAX;
}

void
kh_output_until_frame(struct kh_output *output, uint64_t frames)
{
    size_t taken = 0, n;

    do {
        kh_output_pass(output, frames);
        if (kh_buf_len(&output->merge.raw))
            return; /* parked at the marker */
        n = kh_output_read(output);
        taken += n;
    } while (n && taken < TEXT_A_FRAME);
}

void
kh_output_until_stamp(struct kh_output *output, uint64_t frames, uint64_t stamp)
{
    if (output->seen < stamp)
        kh_output_pass(output, frames);
    else
        pass(output, frames, output->fresh);
}

void
kh_output_limit(struct kh_output *output)
{
    int n = 0;

    if (!output->left)
        return;
    if (output->source.fd < 0 || ioctl(output->source.fd, FIONREAD, &n) < 0 || n < 0)
        n = 0;
    output->left = (size_t)n;
}

bool
kh_output_drain(struct kh_output *output)
{
    if (output->left && !kh_output_read(output) && output->whole)
        output->left = 0; /* a child has read it: nothing to wait for */
    kh_output_pass(output, UINT64_MAX);
    return output->left || kh_buf_len(&output->merge.raw);
}

bool
kh_output_open(const struct kh_output *output)
{
    return output->left && kh_buf_len(&output->merge.raw) < KH_MERGE_MAX;
}

void
kh_output_close(struct kh_output *output)
{
    kh_source_close(&output->source);
    kh_merge_release(&output->merge);
    output->left = 0;
    output->due = KH_NEVER;
}
