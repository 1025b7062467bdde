/* spawn: makes the processes of a sandbox from a plan.
 *
 *     kernelhostd                       first process (child.h)
 *       clone3, all namespaces  ------>   waits
 *       id maps, cgroups
 *       rootfs helper attaches the root
 *       go                      ------>   pivots, drops, filters, execs init
 *                               <------   ready, or struct kh_error
 *       posture check from outside
 *
 * All of it has a deadline; whatever fails, no process is left.
 */
#ifndef KH_HOST_SPAWN_H
#define KH_HOST_SPAWN_H

#include "sandbox/host/cgroup.h"
#include "sandbox/host/plan.h"

#define KH_SPAWN_TIMEOUT_MS 15000

/* Starts the sandbox whose cgroups (ID) exist already. On success *ret_pid is
 * its PID 1 on the host, a child of the caller, and *ret_pidfd its pidfd. */
int kh_spawn(const struct kh_plan *plan, struct kh_cgroups *groups, const char *id,
             pid_t *ret_pid, int *ret_pidfd, struct kh_error *err);

/* Ends what kh_spawn started, and waits for it. */
void kh_spawn_undo(struct kh_cgroups *groups, const char *id, pid_t pid);

#endif
