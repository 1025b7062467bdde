/* stall: cuts the one peer of a ZeroMQ socket that does not read.
 *
 * Without a high-water mark (which would drop even `idle`) a subscriber that
 * stalls makes libzmq queue for it without end. Here the socket's monitor tells
 * the descriptor of every accepted connection, the tally tells whether anything
 * moves, and SIOCOUTQ which peer it is that holds it up: one whose queue in the
 * kernel has not changed for KH_STALL_MS while nothing was freed is shut down.
 * The others miss nothing; the one that was cut reconnects by itself and goes on
 * from there. Up to KH_STALL_KEEP bytes a peer may leave unread for ever.
 */
#ifndef KH_GATEWAY_STALL_H
#define KH_GATEWAY_STALL_H

#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/tally.h"

#define KH_STALL_MS   3000
#define KH_STALL_KEEP (4u * 1024 * 1024)

struct kh_stall;

/* Watches SOCKET (a libzmq socket of this thread), before it is bound. MOVED is
 * called while bytes are held, some times a second, and when they are gone, so
 * that the owner can look at the tally; CUT, after each peer that was cut. */
struct kh_stall *kh_stall_new(struct kh_loop *loop, void *socket,
                              struct kh_tally *tally, void (*moved)(void *arg),
                              void (*cut)(void *arg), void *arg, struct kh_error *err);

/* Before SOCKET is closed. */
void kh_stall_free(struct kh_stall *stall);

/* To be called after a message was sent. */
void kh_stall_sent(struct kh_stall *stall);

/* Peers connected now. */
unsigned kh_stall_peers(const struct kh_stall *stall);

#endif
