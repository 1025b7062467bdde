/* subvolume: directories of a btrfs that have a size limit each.
 *
 * Making, limiting and deleting one takes microseconds whatever is in it; who writes
 * beyond the limit gets EDQUOT. Names and files count as well as bytes.
 */
#ifndef KH_HOST_SUBVOLUME_H
#define KH_HOST_SUBVOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Lets the filesystem of the open directory DIR keep account. */
int kh_subvolume_account(int dir, struct kh_error *err);

/* Makes NAME in PARENT, limited to BYTES (0: not). */
int kh_subvolume_make(int parent, const char *name, uint64_t bytes,
                      struct kh_error *err);

/* Makes NAME in PARENT: what the open subvolume SOURCE holds now, data that is not
 * written yet included, sharing all of it. It takes no longer than writing that and a
 * commit, however much it is. One that can be written to has no limit; a READONLY one
 * has that of SOURCE, which limits nothing. */
int kh_subvolume_snapshot(int parent, int source, const char *name, bool readonly,
                          struct kh_error *err);

/* The open subvolume DIR is read-only from now on. */
int kh_subvolume_keep(int dir, struct kh_error *err);

/* Sets the limit of the open subvolume DIR to BYTES (0: none). */
int kh_subvolume_limit(int dir, uint64_t bytes, struct kh_error *err);

/* How many bytes the open subvolume DIR holds, shared ones too, as its limit counts
 * them. What was written since the filesystem's last commit (30 s at most) is not in it
 * yet. */
int kh_subvolume_used(int dir, uint64_t *ret_bytes, struct kh_error *err);

/* The number by which the open subvolume DIR is accounted. */
int kh_subvolume_number(int dir, uint64_t *ret_number, struct kh_error *err);

/* Deletes NAME and all that is in it. Its account lives on until the kernel has freed
 * the space; kh_subvolume_close_account ends it then, -EBUSY before. */
int kh_subvolume_delete(int parent, const char *name, struct kh_error *err);
int kh_subvolume_close_account(int dir, uint64_t number);

#endif
