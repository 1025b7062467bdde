/* written: what the kernel has taken of every message to every connection.
 *
 * libzmq tells nobody when it has written a message: it queues it, and what is
 * queued dies with the process. What it has written arrives, even if we are killed
 * in the next instruction. So this module is the send() that libzmq calls. It finds
 * the messages in the bytes (zmtp.h) and notes in the ledger which are out. The
 * note is made by the kernel, in the system call itself: sendmmsg(2) puts the number
 * of bytes it took into memory that outlives us. There is no instant at which bytes
 * are out and not counted.
 *
 * Connections that are not ours, or that no ZMTP greeting began, pass through.
 */
#ifndef KH_GATEWAY_WRITTEN_H
#define KH_GATEWAY_WRITTEN_H

#include "kernelhost/gateway/ledger.h"

/* From now on every ZMTP connection is noted in LEDGER; NULL: no more. Before the
 * first socket is made, and after the last one has gone. What goes to several
 * subscribers is kept in TAILS (may be NULL). */
struct kh_tails;
void kh_written_begin(struct kh_ledger *ledger, struct kh_tails *tails);

/* Whether the connections with this tag, of iopub, are several. */
void kh_written_follow(uint64_t tag, bool several);

#endif
