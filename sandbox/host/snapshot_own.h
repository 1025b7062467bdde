/* snapshot_own: the inside of snapshots: snapshot.c (how they come and go) and
 * snapshot_memory.c (the processes that some have). Nobody else includes it.
 */
#ifndef KH_HOST_SNAPSHOT_OWN_H
#define KH_HOST_SNAPSHOT_OWN_H

#include "sandbox/host/snapshot.h"

int kh_snapshot_open_dir(const struct kh_snapshot *snapshot, struct kh_error *err);

/* Whether what BOX has saved of its memory is good now. */
bool kh_snapshot_has_memory(const struct kh_box *box);

/* While it is being taken: what its sandbox has saved becomes its own; and the ids of
 * the kernels in that. */
int kh_snapshot_copy_memory(struct kh_snapshot *snapshot, struct kh_error *err);
int kh_snapshot_note_kernels(struct kh_snapshot *snapshot, struct kh_error *err);

#endif
