/* session: the processes that share a session, found in /proc.
 *
 * Every runner leads a session of its own, and whatever a cell starts stays in
 * it unless it asks for another one (start_new_session=True: it wants to
 * outlive the kernel, and does). The number of a session cannot be given to a
 * new process while a member is left, so it stays a safe name after its leader
 * has ended; the number is stale once a process with that very number exists
 * and is not the leader that we started.
 */
#ifndef KH_INIT_SESSION_H
#define KH_INIT_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Sends SIGNAL to every process of SESSION that is not in process group
 * EXCEPT (0: to all). Zombies do not count. Returns how many were found. */
int kh_session_signal(pid_t session, int signal, pid_t except);

/* Sends SIGKILL until a pass over /proc finds nobody, but not for ever: a
 * program that forks faster than it is killed is met again by the next call.
 * LEADER_ENDED says that the leader was reaped; a process that has its number
 * now is a stranger, and nothing is done. */
void kh_session_kill(pid_t session, bool leader_ended);

/* When a process began, as far as /proc tells. */
struct kh_session_birth {
    uint64_t start; /* clock ticks since boot */
    pid_t pid;
};
bool kh_session_birth(pid_t pid, struct kh_session_birth *ret_birth);

/* As kh_session_kill, but spares those that began before SINCE (NULL: nobody). */
void kh_session_kill_since(pid_t session, bool leader_ended,
                           const struct kh_session_birth *since);

/* No thread of process PID will run a line of its program again: it ended, or is taken
 * apart by the kernel, which takes milliseconds for a large one. */
bool kh_session_runs_no_code(pid_t pid);

/* Of the text of a /proc/PID/stat: what the process does (a letter), its group and its
 * session, the kernel's flags and its birth. The name in it is chosen by the process
 * and may hold anything. False when the text is cut. Pure; for tests and fuzzing. */
struct kh_session_member {
    char state;
    pid_t group;
    pid_t session;
    unsigned flags;
    uint64_t start;
};
bool kh_session_parse(const char *stat, struct kh_session_member *ret_member);

#endif
