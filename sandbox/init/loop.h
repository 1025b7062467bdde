/* loop: the one event loop of kernelhost-init: epoll over embedded sources.
 *
 * A source is a descriptor with a function, embedded in its owner. Owners are
 * never freed while the loop runs (kernels, processes and the connection live
 * in tables whose slots stay allocated), so an event that was fetched before
 * its source was closed finds fd -1 and is dropped; one that meets a reopened
 * slot finds a non-blocking descriptor and reads nothing. Every descriptor
 * given to a source is non-blocking.
 */
#ifndef KH_INIT_LOOP_H
#define KH_INIT_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/error.h"

/* A moment that never comes. */
#define KH_NEVER UINT64_MAX

struct kh_source {
    int fd;          /* -1: closed; owned by the source */
    uint32_t events; /* what is watched now; 0: nothing, not even a hang-up */
    void (*ready)(struct kh_source *source, uint32_t events);
    void *owner;
};

/* Makes the process's only loop. */
int kh_loop_open(struct kh_error *err);

/* A source that watches nothing yet. Takes FD. */
void kh_source_open(struct kh_source *source, int fd,
                    void (*ready)(struct kh_source *, uint32_t), void *owner);

/* Watches EVENTS from now on. With 0 the descriptor leaves the epoll set: a
 * hang-up is reported even to those who asked for nothing, and would spin.
 * Aborts when the kernel is out of memory. */
void kh_source_watch(struct kh_source *source, uint32_t events);

/* Stops watching and closes the descriptor, if open. */
void kh_source_close(struct kh_source *source);

/* Waits until a source is ready or the moment DEADLINE (of kh_now; KH_NEVER)
 * has come, and calls what is ready. */
void kh_loop_run_once(uint64_t deadline);

/* Milliseconds of the monotonic clock. */
uint64_t kh_now(void);

#endif
