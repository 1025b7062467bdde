/* warm: runners that joined the sandbox and wait for a kernel.
 *
 * A zygote's child comes to KH_INIT_JOIN, in the directory that only root inside
 * can enter, before it gave up being that. From then on it is a process of the user
 * like any other, and hostile. It is our child: the end of it is reaped like that
 * of a runner that we started. It is started at once, and so READY (or on its way)
 * when a kernel takes it; what it says before that lies in its socket and pipes.
 */
#ifndef KH_INIT_WARM_H
#define KH_INIT_WARM_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "sandbox/init/ends.h"

#define KH_WARM_MAX 8 /* waiting at once; one more is turned away */

/* Listens at PATH, whose directory exists. */
int kh_warm_open(const char *path, struct kh_error *err);

/* Takes a runner of KIND that waits, and was started with what its kind starts with
 * if the client chose nothing. *RET_ENDS are ours, *ret_pid is our child, the leader
 * of a session, and *ret_error_fd tells (kh_spawn_failed) if it could not begin.
 * False when none waits. */
bool kh_warm_claim(const char *kind, struct kh_ends *ret_ends, pid_t *ret_pid,
                   int *ret_error_fd);

/* A process was reaped that is nobody's: if it was one that waits, it is forgotten. */
void kh_warm_ended(pid_t pid);

#endif
