/* snapshots: all snapshots of a host, in the order of their making, and the clock that
 * removes those that expire.
 */
#ifndef KH_HOST_SNAPSHOTS_H
#define KH_HOST_SNAPSHOTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/host/watch.h"

/* As many as a host keeps. */
#define KH_SNAPSHOTS_MAX 10000u

struct kh_host;
struct kh_snapshot;

struct kh_snapshots {
    struct kh_snapshot **at; /* by rising number */
    size_t count, size;
    uint64_t last;
    unsigned max;
    int timer; /* of the next that expires; -1: none is kept */
    struct kh_watch watch;
};

/* Begins to remove what expires. At most MAX are kept. */
int kh_snapshots_open(struct kh_host *host, unsigned max, struct kh_error *err);

/* Frees all that is known of them; nothing on disk changes. */
void kh_snapshots_close(struct kh_snapshots *snapshots);

/* Adds SNAPSHOT, whose name must be new, and gives it its number. */
void kh_snapshots_add(struct kh_snapshots *snapshots, struct kh_snapshot *snapshot);

/* Takes it away and frees it. */
void kh_snapshots_forget(struct kh_snapshots *snapshots, struct kh_snapshot *snapshot);

/* The one with that name, be it one that is being taken, or NULL. */
struct kh_snapshot *kh_snapshots_find(const struct kh_snapshots *snapshots,
                                      const char *name);

/* The first that exists and whose number is above NUMBER, or NULL. */
struct kh_snapshot *kh_snapshots_after(const struct kh_snapshots *snapshots,
                                       uint64_t number);

/* Temporary ones go: the gateway that wanted them has ended. */
void kh_snapshots_end_temporary(struct kh_snapshots *snapshots);

/* Sets the clock anew: an expiry has come or gone. */
void kh_snapshots_set_clock(struct kh_snapshots *snapshots);

#endif
