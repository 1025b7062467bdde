/* wake: a hibernated sandbox's processes are made again from its memory.
 *
 *     kernelhostd                    criu (in the sandbox's control groups)
 *       ids, groups, root   ------>    makes the namespaces
 *                           <------ NAMESPACES
 *       lo is up            ------>    makes the processes; they stand still
 *                           <------ READY
 *       takes CRIU out of the group, freezes it, looks at every thread, puts
 *       back what CRIU drops: limits of the user namespace, /proc, the name
 *                           ------>    lets go of them, ends
 *       record: running; the memory is void; and only now they go on
 *
 * A sandbox that is woken takes its limits and its name from its record, ids from this
 * host, its init and disk as they were. If anything fails nothing of it is left, and it
 * is hibernated as before.
 *
 * No more are made at once than there are processors, and none while the host has no
 * memory for it: those wait, a minute at most.
 */
#ifndef KH_HOST_WAKE_H
#define KH_HOST_WAKE_H

#include "sandbox/host/box.h"

#define KH_WAKE_WAIT_MS    60000 /* for memory */
#define KH_WAKE_TIMEOUT_MS 120000

/* Begins, or waits for its turn. DONE is called once, later. */
int kh_wake_begin(struct kh_box *box,
                  void (*done)(void *owner, const struct kh_error *err), void *owner,
                  struct kh_error *err);

/* At the end of the host: nothing that waits begins any more. */
void kh_wake_end_all(struct kh_host *host);

#endif
