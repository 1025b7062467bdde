/* trash: disks on their way out, below STATE/trash.
 *
 * A child process deletes, so that a large disk holds nobody up. It ends with
 * kernelhostd; what is left then goes at the next start.
 */
#ifndef KH_HOST_TRASH_H
#define KH_HOST_TRASH_H

#include "sandbox/host/process.h"
#include "sandbox/host/store.h"

/* Begins to delete STATE/trash/NAME. ENDED is called with status 0 when all of it
 * is gone; PROCESS is the caller's, or NULL when nobody waits. */
int kh_trash_delete(const struct kh_store *store, const char *name,
                    struct kh_process *process,
                    void (*ended)(struct kh_process *, int status), void *owner,
                    struct kh_error *err);

/* Begins to delete what an earlier host left. Call it before any other. */
int kh_trash_delete_old(const struct kh_store *store, struct kh_error *err);

#endif
