/* procfs: /proc and /dev of a sandbox. Used by the rootfs helper only.
 *
 * /proc is the kernel's, for the sandbox's pid namespace, with what tells of the
 * host or of other sandboxes covered: the mask table in procfs.c. meminfo, stat,
 * loadavg and cpuinfo show the sandbox's limits at its start (they do not move);
 * uptime is right by the time namespace.
 */
#ifndef KH_HOST_PROCFS_H
#define KH_HOST_PROCFS_H

#include "sandbox/host/plan.h"

/* A detached procfs. The caller's children must already be born into the
 * sandbox's pid namespace (setns CLONE_NEWPID): one of them makes it. */
int kh_procfs_new(struct kh_error *err);

/* A detached procfs of the caller's own pid namespace that shows no process but
 * those that its opener could trace, and nothing of the host. */
int kh_procfs_self(struct kh_error *err);

/* Covers what the table says on the attached procfs PROC. */
int kh_procfs_mask(const struct kh_plan *plan, int proc, struct kh_error *err);

/* A detached tmpfs for /dev, owned by host id FIRST; then, once it is attached,
 * its devices, links, pts and shm, after which it is read-only. MEMORY bounds
 * shm, in bytes; with 0 pts and shm are empty directories. */
int kh_devfs_new(uint32_t first, struct kh_error *err);
int kh_devfs_fill(uint32_t first, uint64_t memory, int dev, struct kh_error *err);

#endif
