/* weigh: what it takes to keep a sandbox's processes on the disk, before it is done.
 *
 * Pages that processes share since a fork are written once for each, and belong to each
 * alone when they are back: a sandbox comes back larger than it went, and many small
 * processes may come to more than any disk has. So who would not fit is not hibernated.
 * Its processes must stand still.
 */
#ifndef KH_HOST_WEIGH_H
#define KH_HOST_WEIGH_H

#include "sandbox/host/cgroup.h"

struct kh_weight {
    uint64_t memory; /* bytes of pages that will be written, and be there again */
    uint64_t ghosts; /* bytes of files that are open and have no name any more */
};

/* Reads /proc of every process in ID. */
int kh_weigh(struct kh_cgroups *groups, const char *id, struct kh_weight *ret_weight,
             struct kh_error *err);

/* Bytes a sandbox with so much MEMORY needs to wake. */
uint64_t kh_weight_limit(uint64_t memory);

/* -EBUSY with the figures and the cure, COMMAND with a larger limit, when WEIGHT does
 * not fit in the memory LIMIT of a sandbox, or has too many ghosts. */
int kh_weight_fits(const struct kh_weight *weight, uint64_t limit, const char *command,
                   struct kh_error *err);

/* -ENOSPC when the disk that DIR is on has no room for BYTES and a reserve. */
int kh_weight_room(int dir, uint64_t bytes, struct kh_error *err);

#endif
