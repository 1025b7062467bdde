/* warm: runners that joined the sandbox and wait for a kernel.
 *
 * A zygote's child comes to KH_INIT_JOIN, in the directory that only root inside
 * can enter, before it gave up being that. From then on it is a process of the user
 * like any other, and hostile. It is our child: the end of it is reaped like that
 * of a runner that we started.
 */
#ifndef KH_INIT_WARM_H
#define KH_INIT_WARM_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "sandbox/init/spawn.h"

#define KH_WARM_MAX 8 /* waiting at once; one more is turned away */

/* Listens at PATH, whose directory exists. */
int kh_warm_open(const char *path, struct kh_error *err);

/* Gives PLAN's directory, environment and descriptors 1 to 3 to a runner of KIND
 * that waits. As kh_spawn: *ret_pid is our child, the leader of a session, and
 * *ret_error_fd tells (kh_spawn_failed) if it could not begin. False when none
 * waits or the plan does not fit; then nothing has happened. */
bool kh_warm_claim(const char *kind, const struct kh_spawn *plan, pid_t *ret_pid,
                   int *ret_error_fd);

#endif
