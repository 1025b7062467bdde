/* keeper: a second process of the gateway, which outlives it by a moment.
 *
 * It shares our table of descriptors (clone with CLONE_FILES), so that what a SIGKILL
 * leaves of us is open still, and waits for our end. Then it brings the subscribers of
 * each kernel level: who lacks a message that another one has gets it, whole, on the
 * connection that it had (tail.h). Everything else is closed at once. It waits a little
 * for clients to read what is theirs, notes in the ledger what they have, and ends; the
 * next gateway waits for that. It reads nothing that comes from outside.
 */
#ifndef KH_GATEWAY_KEEPER_H
#define KH_GATEWAY_KEEPER_H

#include "base/error.h"
#include "kernelhost/gateway/tails.h"

/* Time for subscribers to take what they lack, and for all to read; and how long the
 * next gateway waits for the keeper of the last one. */
#define KH_KEEPER_MS      250
#define KH_KEEPER_WAIT_MS 1000

/* Waits for the keeper of an earlier gateway, which holds the file LEDGER_FD. */
void kh_keeper_wait(int ledger_fd);

/* Starts ours, before any thread is made and before we are confined; it confines
 * itself. -errno: there is none, and what it would do is not done. */
int kh_keeper_start(int ledger_fd, struct kh_tails *tails, struct kh_error *err);

#endif
