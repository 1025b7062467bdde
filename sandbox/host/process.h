/* process: one process that kernelhostd waits for, by its pidfd.
 *
 * The same for children and for processes that an earlier kernelhostd began: the
 * pidfd becomes readable when the process has ended. A child is reaped then and
 * its status told; of another's child only its init learns the status. Embedded
 * in its owner.
 */
#ifndef KH_HOST_PROCESS_H
#define KH_HOST_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "sandbox/host/watch.h"

/* As a wait status: it ended, and nobody knows how. No real status is this. */
#define KH_STATUS_UNKNOWN ((int)KH_BROKER_STATUS_UNKNOWN)

struct kh_process {
    pid_t pid; /* on the host; 0: none */
    int pidfd; /* owned; -1: none */
    void (*ended)(struct kh_process *process, int status);
    void *owner;
    struct kh_watch watch;
};

#define KH_PROCESS_NONE                                                                \
    {                                                                                  \
        .pidfd = -1                                                                    \
    }

/* Waits from now on for PID, whose PIDFD it takes, also on failure. When it has
 * ended, *process is none again and ENDED is called, once. */
int kh_process_watch(struct kh_process *process, pid_t pid, int pidfd,
                     void (*ended)(struct kh_process *, int status), void *owner,
                     struct kh_error *err);

/* Waits for it no more. */
void kh_process_forget(struct kh_process *process);

/* True while it exists, be it as a zombie: then its number is nobody else's. */
bool kh_process_exists(const struct kh_process *process);

/* Signals it; nothing happens to none. */
void kh_process_kill(const struct kh_process *process, int sig);

/* Waits until it has ended, and reaps it; ENDED is not called. For one that was
 * killed. */
void kh_process_reap(struct kh_process *process);

/* Reaps children that are not waited for: those that an earlier program of this
 * process began, and, as PID 1 of a container, orphans. Call it on SIGCHLD. */
void kh_process_reap_others(void);

#endif
