/* hibernate: a sandbox's processes become files, and end.
 *
 *     RUNNING -> SAVING   it is frozen, looked at, and CRIU writes (a child waits for
 *                         it, and brings what it wrote to the disk)
 *     SAVING -> HIBERNATED  what is written has its name, then the record says so, and
 *                         only then the processes are killed
 *     SAVING -> RUNNING   CRIU could not: frozen, as it was before
 *
 * Should kernelhostd die on the way, CRIU goes on and lets the processes be: the next
 * one finds them frozen (memory.h).
 */
#ifndef KH_HOST_HIBERNATE_H
#define KH_HOST_HIBERNATE_H

#include "sandbox/host/box.h"

/* Begins. DONE is called once, later: with code 0 when the sandbox is hibernated, with
 * the reason when it could not be and is frozen instead. -EBUSY when it does not run or
 * a runner is on its way into it; -ENOTSUP when the host has no CRIU. FLAGS are those
 * of KH_BROKER_HIBERNATE: with KEEP it ends as RUNNING, frozen, with a memory that is
 * good until it is thawed. */
int kh_hibernate_begin(struct kh_box *box, unsigned flags,
                       void (*done)(void *owner, const struct kh_error *err),
                       void *owner, struct kh_error *err);

/* For box.c: PID 1 has ended while it was SAVING. True when that was the last step; the
 * box is HIBERNATED then. Else it is for the caller to treat as any end. */
bool kh_hibernate_ended(struct kh_box *box);

/* For kh_box_adopt: its record says that it is hibernated. */
int kh_hibernate_adopt(struct kh_box *box, struct kh_error *err);

/* It goes on, and so the memory that was kept is void. */
void kh_box_forget_kept(struct kh_box *box);

/* Freezes a sandbox that runs, or lets it go on. */
int kh_box_freeze(struct kh_box *box, bool freeze, struct kh_error *err);

#endif
