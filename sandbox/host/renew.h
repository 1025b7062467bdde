/* renew: kernelhostd executes itself anew, the same program or a newer one, while
 * the sandboxes go on.
 *
 *     SIGUSR2 -> check: PROGRAM --check, in a child; it changes nothing
 *            -> the gateway is ended
 *            -> execve: same process, same parent, same children; the lock of the
 *               state directory and the API's socket stay open
 *            -> the new program finds the sandboxes by their births
 *
 * PROGRAM is what STATE/run/upgrade names, which only root can write, or else what
 * kernelhostd was started as. STATE/run/renewal tells the outcome to whoever waits:
 * "ok VERSION" or "failed REASON". A service manager sees one process all the time.
 */
#ifndef KH_HOST_RENEW_H
#define KH_HOST_RENEW_H

#include <stdbool.h>

#include "sandbox/host/process.h"
#include "sandbox/host/store.h"

/* What a program that is resumed finds open. -1: not resumed. */
struct kh_inherited {
    int lock; /* of the state directory, held */
    int api;  /* listening */
};

struct kh_renewal {
    char *const *argv; /* as main got it; borrowed */
    char *program;     /* what to execute; owned */
    struct kh_process check;
};

/* Begins: finds the program and has it check itself. ENDED is called with status 0
 * when it could take over. */
int kh_renewal_begin(struct kh_renewal *renewal, const struct kh_store *store,
                     void (*ended)(struct kh_process *, int status), void *owner,
                     struct kh_error *err);

/* Executes the program. Returns only on failure, with everything as it was. */
int kh_renewal_exec(struct kh_renewal *renewal, const struct kh_store *store, int api,
                    struct kh_error *err);

/* Writes the outcome; FAILED NULL: it went well. */
void kh_renewal_tell(const struct kh_store *store, const struct kh_error *failed);

/* Closes all descriptors above 2 that nobody passed on purpose (RESUME: the value of
 * --resume, or NULL), and fills 0 to 2: whoever starts kernelhostd may have left some
 * open, or closed, and neither may reach a sandbox or be taken for a log. -EINVAL when
 * RESUME names no descriptors of the right kind. */
int kh_inherited_take(const char *resume, struct kh_inherited *ret_inherited,
                      struct kh_error *err);

#endif
