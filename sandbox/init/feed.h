/* feed: bytes on their way into the standard input of a process.
 *
 * Embedded in an exec. What waits, over all feeds, is bounded by KH_FEED_MAX;
 * when the process does not read any more the bytes are dropped.
 */
#ifndef KH_INIT_FEED_H
#define KH_INIT_FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "sandbox/init/loop.h"

#define KH_FEED_MAX (64u * 1024 * 1024)

struct kh_feed {
    struct kh_source source;
    struct kh_buf waiting;
    bool ended; /* nothing will be added */
};

/* Takes FD, the write end of a pipe, non-blocking. */
void kh_feed_open(struct kh_feed *feed, int fd);

/* Adds bytes; -ENOBUFS over the bound. A closed feed swallows them. */
int kh_feed_add(struct kh_feed *feed, const void *p, size_t size, struct kh_error *err);

/* The end of input, once everything has been written. */
void kh_feed_end(struct kh_feed *feed);

/* Closes at once and drops what waits. A zeroed feed needs fd -1 first. */
void kh_feed_close(struct kh_feed *feed);

#endif
