/* exec: a command that runs in the sandbox by EXEC, without a terminal.
 *
 * Lives in a slot of a fixed table. Output becomes EXEC_OUTPUT frames, at most
 * KH_EXEC_WINDOW bytes ahead of the gateway's EXEC_ACK; then its pipes are not
 * read any more and it waits. EXEC_EXIT comes after all output, or, when
 * something in the background keeps a pipe open, after what the pipes held
 * KH_EXEC_LINGER after the end of the process.
 *
 * The connection to the gateway may go away: the process runs on, its output is
 * kept up to the window for the next connection, and if there is none when it
 * ends, its record goes.
 */
#ifndef KH_INIT_EXEC_H
#define KH_INIT_EXEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/link/frame.h"

#define KH_EXEC_LINGER 200 /* milliseconds */

/* EXEC, EXEC_INPUT, EXEC_SIGNAL: 0, or -errno with the text of REFUSED. An
 * EXEC that cannot start is accepted, and ends with the reason. */
int kh_exec_start(const struct kh_frame *frame, struct kh_error *err);
int kh_exec_input(const struct kh_frame *frame, struct kh_error *err);
int kh_exec_signal(const struct kh_frame *frame, struct kh_error *err);

/* EXEC_ACK. Unknown ids (the process may just have ended) mean nothing. */
void kh_exec_ack(uint64_t id, uint64_t consumed);

/* Moves frames for the gateway into OUT: of the next process that has some, and
 * not many at a time, so that journals have their turn as well. */
void kh_exec_collect(struct kh_buf *out);

/* Whether there is a gateway. What was collected for the one that went away is
 * lost, and counts as consumed. */
void kh_exec_attach(bool connected);

/* A process was reaped. False when it is none of ours. */
bool kh_exec_ended(pid_t pid, int status);

uint64_t kh_exec_due(void);
void kh_exec_tick(uint64_t now);

/* SIGKILL to every session; for the end of init in tests. */
void kh_exec_kill_all(void);

#endif
