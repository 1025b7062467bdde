/* rollback: a sandbox becomes what a snapshot of it holds, in place.
 *
 * A disk of the snapshot's files and, if it has some, a memory of its processes are
 * made under a name of their own, the new place of the sandbox. Then one record is
 * written: it is hibernated, or stopped, in that place. From then on what ran and the
 * old place are nothing, and go; before, the new one is. Whoever dies on the way, the
 * next one finds one whole sandbox, and removes what is no sandbox's.
 *
 *     STOPPED, HIBERNATED -> HIBERNATED or STOPPED   at once
 *     RUNNING -> STOPPING -> HIBERNATED or STOPPED   as PID 1 has ended
 *
 * Its name, id, owner, limits and ladder stay. Its processes are brought back as any
 * that are hibernated (wake.h), with a boot number of their own: numbers in their
 * journals are used again. The snapshot stays as it is.
 */
#ifndef KH_HOST_ROLLBACK_H
#define KH_HOST_ROLLBACK_H

#include "sandbox/host/box.h"
#include "sandbox/host/snapshot.h"

/* Begins. DONE is called once, maybe before this returns: with code 0, since it can
 * only succeed then. -EINVAL when SNAPSHOT is of another sandbox or needs more than BOX
 * may have; -EBUSY when BOX is on its way; -ENOTSUP; and what making the place fails
 * with. BOX is as it was, then. */
int kh_rollback_begin(struct kh_box *box, const struct kh_snapshot *snapshot,
                      void (*done)(void *owner), void *owner, struct kh_error *err);

/* For box.c: PID 1 has ended. True when that was for this; the box is what its record
 * says then. */
bool kh_rollback_ended(struct kh_box *box);

#endif
