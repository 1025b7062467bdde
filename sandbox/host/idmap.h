/* idmap: which host ids a sandbox gets.
 *
 * Slot N owns the 65,536 user and group ids from base + N * 65536; inside they
 * are 0..65535. No slot ever contains host id 0. Files on disk are stored with
 * the inside ids, so a slot may change between two starts. */
#ifndef KH_HOST_IDMAP_H
#define KH_HOST_IDMAP_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define KH_IDMAP_SIZE  65536u
#define KH_IDMAP_BASE  0x40000000u /* default; between what distributions use */
#define KH_IDMAP_SLOTS 8192u

/* First host id of SLOT. */
uint32_t kh_idmap_first(uint32_t base, uint32_t slot);

/* Writes uid_map and gid_map of a new user namespace whose first process is
 * PID. The caller is privileged in the parent namespace. */
int kh_idmap_write(pid_t pid, uint32_t first, struct kh_error *err);

/* A user namespace that is nothing but its id map, which mounts are shifted by.
 * Returns its descriptor. */
int kh_idmap_hold(uint32_t first, struct kh_error *err);

#endif
