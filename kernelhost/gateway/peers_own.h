/* peers_own: the inside of the peers of a socket, shared by peers.c (who is there, and
 * who must go) and peers_noted.c (what they have got). Nobody else includes it.
 */
#ifndef KH_GATEWAY_PEERS_OWN_H
#define KH_GATEWAY_PEERS_OWN_H

#include "kernelhost/gateway/peers.h"

#define KH_PEERS_BUCKETS 64 /* a power of two */
#define KH_PEERS_EARLY   32

struct kh_peer {
    struct kh_peer *next; /* in its bucket */
    int fd;               /* libzmq's own: it may be closed and reused at any time, */
    ino_t inode;          /* so the inode tells whether it still is this socket */
    bool tcp;
    bool right;     /* it has sent something with the key */
    int queued;     /* SIOCOUTQ when last seen */
    uint64_t moved; /* when that last changed or was 0 */
    uint64_t taken; /* bytes of its messages that came out of libzmq */
    struct kh_ledger_connection *noted; /* or NULL */
    uint64_t written;                   /* its position when last seen */
    uint64_t wrote;                     /* when that last changed */
};

struct kh_peers {
    struct kh_loop *loop;
    void *socket;
    size_t trusted;
    bool keeps;
    struct kh_tally *tally;
    struct kh_peers_events events;
    struct kh_monitor *monitor; /* the loop's */
    uint64_t key;               /* there */
    struct kh_timer *timer;
    struct kh_peer *bucket[KH_PEERS_BUCKETS];
    unsigned count, tcp_count;
    struct kh_ledger *ledger; /* or NULL */
    /* Subscriptions of peers that the monitor has not told of yet; a ring. */
    struct kh_early {
        int fd;
        ino_t inode;
        bool filtered;
        uint64_t told;
    } early[KH_PEERS_EARLY];
    unsigned early_next;
    uint64_t tag;
    uint64_t quiet, quiet_told, quiet_at; /* see look_if_quiet */
    bool held;                            /* the tally was not empty when last seen */
    uint64_t freed;                       /* the tally's when last seen */
    uint64_t moved;                       /* when that last changed */
};

/* Where the peer of a descriptor is, or would be. */
struct kh_peer **kh_peers_place(struct kh_peers *peers, int fd);

/* PEER is new: what it has subscribed to already counts. */
void kh_peers_catch_up(struct kh_peers *peers, struct kh_peer *peer);

/* The number of subscribers has changed. */
void kh_peers_follow(const struct kh_peers *peers);

#endif
