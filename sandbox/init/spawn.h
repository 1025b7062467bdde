/* spawn: starts a process of the user inside the sandbox.
 *
 * Used by kernelhost-init for runners and for commands. Everything that can be
 * computed is in the plan before fork; the child makes only system calls and
 * tells a failure as a struct kh_error through a pipe that the exec closes.
 *
 * The child: a session and a process group of its own, default signal actions,
 * no descriptor but those of the plan, uid and gid KH_USER_UID without
 * supplementary groups and capabilities, no core files, and an oom_score_adj
 * that makes it die before init does.
 */
#ifndef KH_INIT_SPAWN_H
#define KH_INIT_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/link/frame.h"

/* Bounds of what a client may ask for. A single string longer than 128 KiB is
 * refused by the kernel itself (MAX_ARG_STRLEN). */
#define KH_SPAWN_STRINGS_MAX 4096u
#define KH_SPAWN_BYTES_MAX   (1024u * 1024)

struct kh_spawn {
    char *const *argv; /* argv[0] without '/' is looked up in the plan's PATH */
    char *const *env;
    const char *cwd;
    int fd[4];      /* becomes 0..3; -1: /dev/null for 0..2, closed for 3 */
    bool keep_user; /* stay who we are: only for tests */
};

/* Starts it. *ret_error_fd is the read end of the error pipe (non-blocking),
 * which the caller keeps until the process is reaped. The descriptors of the
 * plan stay open here. */
int kh_spawn(const struct kh_spawn *plan, pid_t *ret_pid, int *ret_error_fd,
             struct kh_error *err);

/* After the process was reaped: true, with its text, when it never reached its
 * program. */
bool kh_spawn_failed(int error_fd, struct kh_error *ret_why);

/* Whether PID is a child of ours that was not reaped: else we would never hear of its
 * end. A process that somebody else brought into being may be another one's. */
bool kh_spawn_is_ours(pid_t pid);

/* Cuts a slice of strings, each ended by NUL, into an array ended by NULL, in
 * one allocation. -EINVAL when the last one is not ended, -E2BIG over the
 * bounds above. */
int kh_spawn_strings(struct kh_slice slice, char ***ret_strings, struct kh_error *err);

/* The environment of a process: the fixed table, then BASE (may be NULL), then
 * the "K=V" strings of EXTRA, later ones replacing earlier ones. One allocation;
 * the strings stay where they are. -EINVAL for a string that is not K=V. */
int kh_spawn_env(char *const *base, char *const *extra, char ***ret_env,
                 struct kh_error *err);

#endif
