/* peers: the connections of one ZeroMQ socket, and the ones that must be cut.
 *
 * The socket's monitor tells the descriptor of every accepted connection. Two
 * kinds of peers would make libzmq hold memory without end:
 *
 * One that does not read. There is no high-water mark (it would drop even `idle`),
 * so output queues. The tally tells whether anything moves, and SIOCOUTQ which
 * peer it is that holds it up: one whose queue in the kernel has not changed for
 * KH_PEERS_STALL_MS while nothing was freed is shut down. The others miss nothing;
 * the one that was cut reconnects by itself and goes on from there. Up to
 * KH_PEERS_KEEP bytes a peer may leave unread for ever.
 *
 * One that sends a message without an end. libzmq gathers its frames and hands on
 * nothing, signature or not. Over TCP the kernel counts what a connection has
 * brought, and whoever takes messages from the socket counts what came out: the
 * difference is what is held. (ipc sockets are in a directory of their own.) Of a
 * subscription some 30 times its bytes stay held after it came out: where KEEPS is
 * set everything that a connection has brought counts.
 */
#ifndef KH_GATEWAY_PEERS_H
#define KH_GATEWAY_PEERS_H

#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/tally.h"

#define KH_PEERS_STALL_MS 3000
#define KH_PEERS_KEEP     (4u * 1024 * 1024)

/* Unfinished bytes of a peer that has sent nothing right yet. Frames without
 * content take 32 times as much memory. */
#define KH_PEERS_UNFINISHED (4u * 1024 * 1024)

struct kh_peers;

struct kh_peers_events {
    /* Some times a second while bytes are held, and when they are gone: look at
     * the tally. */
    void (*moved)(void *arg);
    /* A peer can be spoken to from now on. */
    void (*joined)(void *arg);
    /* A peer was cut; WHY in words. */
    void (*cut)(void *arg, const char *why);
    void *arg;
};

/* Watches SOCKET (a libzmq socket of this thread), before it is bound. TRUSTED is
 * how many held bytes a peer may have that has sent something right, or, with KEEPS,
 * any peer. */
struct kh_peers *kh_peers_new(struct kh_loop *loop, void *socket, size_t trusted,
                              bool keeps, struct kh_tally *tally,
                              const struct kh_peers_events *events,
                              struct kh_error *err);

/* From now on, and before SOCKET is bound, connections are noted in LEDGER as TAG's. */
void kh_peers_note(struct kh_peers *peers, struct kh_ledger *ledger, uint64_t tag);

/* The peer of descriptor FD has subscribed; FILTERED: not to everything. TOLD is the
 * position of the last message that was published before. */
void kh_peers_subscribed(struct kh_peers *peers, int fd, bool filtered, uint64_t told);

/* What was written to them was of another journal. */
void kh_peers_begin(struct kh_peers *peers);

/* Subscriptions of peers that are connected. */
unsigned kh_peers_subscribers(const struct kh_peers *peers);

/* The position up to which every subscriber's connection has taken what was published
 * up to TOLD; KH_POSITION_END when that is all. One that has taken nothing for
 * KH_PEERS_STALL_MS is not waited for. */
uint64_t kh_peers_written(struct kh_peers *peers, uint64_t told);

/* Whether what was sent up to position TOLD to the peer of FD, which was its BIRTHth,
 * has been written, or never can be. */
bool kh_peers_answered(const struct kh_peers *peers, int fd, uint32_t birth,
                       uint64_t told);

/* Which connection of descriptor FD it is; 0 when that is not known. */
uint32_t kh_peers_birth(const struct kh_peers *peers, int fd);

/* Before SOCKET is closed. */
void kh_peers_free(struct kh_peers *peers);

/* After a message was sent. */
void kh_peers_sent(struct kh_peers *peers);

/* After a message of SIZE bytes was taken that came by descriptor FD (-1: not
 * known); RIGHT when it proved that the peer has the key. */
void kh_peers_taken(struct kh_peers *peers, int fd, size_t size, bool right);

/* Peers connected now. */
unsigned kh_peers_count(const struct kh_peers *peers);

#endif
