/* rootfs: builds the root of a sandbox and attaches it inside.
 *
 * kernelhostd forks a helper for it, which works in a mount namespace of its own
 * (owned by the host) and, for /proc, in the sandbox's pid namespace. The tree:
 *
 *     /       overlayfs over idmapped clones of the layers; upper and work from
 *             the sandbox's directory; nosuid, nodev
 *     /proc   a new procfs of the sandbox's pid namespace; /proc/sys read-only;
 *             the files in the mask table empty; a few replaced by the plan's facts
 *     /dev    a tmpfs with six devices, read-only; pts and shm of its own
 *
 * Nothing is reached by a path that the image controls: everything below the
 * new root is opened with RESOLVE_IN_ROOT and without links. The finished tree
 * is moved onto plan->mount_point in the mount namespace of the sandbox's
 * PID 1, which then pivots into it.
 */
#ifndef KH_HOST_ROOTFS_H
#define KH_HOST_ROOTFS_H

#include "sandbox/host/plan.h"

/* Builds and attaches. PID and PIDFD are the sandbox's first process, which
 * waits and whose id maps are written. Returns when the helper has ended. */
int kh_rootfs_attach(const struct kh_plan *plan, pid_t pid, int pidfd,
                     struct kh_error *err);

/* For a sandbox that is brought back (wake.h): leaves the caller in a new mount
 * namespace, where below PLACE, which root of the sandbox must be able to reach, "root"
 * is the root without /proc and /dev, and "dev" what goes onto /dev. Later failures
 * leave the caller half way. */
int kh_rootfs_stage(const struct kh_plan *plan, int userns, const char *place,
                    struct kh_error *err);

/* The same: puts our /proc in the place of the one that PID's root has. */
int kh_rootfs_replace_proc(const struct kh_plan *plan, pid_t pid, int pidfd,
                           struct kh_error *err);

/* For a zygote: builds a root for PLAN, which has no sandbox's directory, and makes
 * it the caller's, in a new mount namespace. What is written there is in memory
 * (64 MiB) and goes with the namespace; /proc shows nothing but the caller. USERNS
 * is a user namespace with the plan's id map. Later failures leave the caller half
 * way: it must end. */
int kh_rootfs_enter(const struct kh_plan *plan, int userns, struct kh_error *err);

#endif
