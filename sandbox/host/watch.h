/* watch: kernelhostd's one event loop: epoll over embedded watches.
 *
 * A watch is a descriptor with a function, embedded in its owner, who keeps the
 * descriptor and takes the watch away before closing it. One event is fetched a
 * turn, so a handler may free anything, its own watch included; the kernel hands
 * ready descriptors out in turn, so nobody waits for ever.
 */
#ifndef KH_HOST_WATCH_H
#define KH_HOST_WATCH_H

#include <stdint.h>
#include <sys/epoll.h>

#include "base/error.h"

struct kh_watch {
    int fd;          /* borrowed */
    uint32_t events; /* what is watched now; 0: not in the set */
    void (*ready)(struct kh_watch *watch, uint32_t events);
    void *owner;
};

/* Makes the process's only set. */
int kh_watch_open(struct kh_error *err);

/* Watches FD for EVENTS from now on. A WATCH that is all zeros watches nothing. */
int kh_watch_add(struct kh_watch *watch, int fd, uint32_t events,
                 void (*ready)(struct kh_watch *, uint32_t), void *owner,
                 struct kh_error *err);

/* Other EVENTS (not 0) of what is watched already. */
void kh_watch_change(struct kh_watch *watch, uint32_t events);

/* Watches it no more; explicitly, since a child between fork and exec may still
 * hold the file open. Nothing happens to a watch that watches nothing. */
void kh_watch_remove(struct kh_watch *watch);

/* Waits until one watch is ready, at most TIMEOUT_MS (-1: for ever), and calls it.
 * Returns 1, 0 after the timeout or a signal, or -errno. */
int kh_watch_wait(int timeout_ms);

#endif
