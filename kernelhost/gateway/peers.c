#include "kernelhost/gateway/peers_own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <czmq.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/gateway/monitor.h"

#define TICK_MS 50

struct kh_peer **
kh_peers_place(struct kh_peers *peers, int fd)
{
    struct kh_peer **at = &peers->bucket[(unsigned)fd & (KH_PEERS_BUCKETS - 1)];

    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    return at;
}

static void
forget(struct kh_peers *peers, int fd)
{
    struct kh_peer **at = kh_peers_place(peers, fd), *peer = *at;

    if (!peer)
        return;
    *at = peer->next;
    peers->count--;
    peers->tcp_count -= peer->tcp;
    /* Another socket's peer may have the descriptor by now. */
    if (peer->noted && peer->noted->tag == peers->tag && !kh_ledger_left(peers->ledger))
        peer->noted->tag = 0;
    free(peer);
    kh_peers_follow(peers);
}

static bool
is_tcp(int fd)
{
    int domain = 0;
    socklen_t size = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
           (domain == AF_INET || domain == AF_INET6);
}

/* The timer runs while there is something to look at. */
static void
look_on(struct kh_peers *peers)
{
    bool wanted = peers->tcp_count || kh_tally_held(peers->tally) || peers->held;

    if (wanted && !kh_timer_active(peers->timer))
        kh_timer_start(peers->timer, TICK_MS, TICK_MS);
    else if (!wanted)
        kh_timer_stop(peers->timer);
}

static void
remember(struct kh_peers *peers, int fd)
{
    struct kh_peer *peer, **at;
    struct stat st;

    forget(peers, fd);
    if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
        return; /* gone before we heard of it */
    peer = kh_xcalloc(1, sizeof(*peer));
    peer->fd = fd;
    peer->inode = st.st_ino;
    peer->tcp = is_tcp(fd);
    peer->moved = kh_loop_now(peers->loop);
    if (peers->ledger)
        peer->noted = kh_ledger_connection(peers->ledger, fd);
    if (peer->noted) {
        peer->noted->subscribed = peer->noted->filtered = 0;
        peer->noted->since = 0;
        peer->noted->tag = peers->tag;
    }
    at = kh_peers_place(peers, fd);
    *at = peer;
    peers->count++;
    peers->tcp_count += peer->tcp;
    kh_peers_catch_up(peers, peer);
    look_on(peers);
}

static void
on_event(void *arg, unsigned event, int value)
{
    struct kh_peers *peers = arg;

    if (event == ZMQ_EVENT_ACCEPTED)
        remember(peers, value);
    else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        peers->events.joined(peers->events.arg);
    else if (event == ZMQ_EVENT_DISCONNECTED || event == ZMQ_EVENT_CLOSED)
        forget(peers, value);
}

/* The descriptor is libzmq's, whose thread may close it at any time, and the next
 * socket gets its number. So what is shut down is a descriptor of our own, once it is
 * known to be of the right socket. */
static void
cut(struct kh_peers *peers, const struct kh_peer *peer, const char *why)
{
    AUTO_FD int own = fcntl(peer->fd, F_DUPFD_CLOEXEC, 0);
    struct stat st;

    if (own < 0 || fstat(own, &st) < 0 || !S_ISSOCK(st.st_mode) ||
        st.st_ino != peer->inode)
        return;
    shutdown(own, SHUT_RDWR);
    peers->moved = kh_loop_now(peers->loop);
    peers->events.cut(peers->events.arg, why);
}

static bool
stalls(const struct kh_peers *peers, struct kh_peer *peer, uint64_t now)
{
    int queued = 0;

    if (!peers->held)
        return false;
    if (ioctl(peer->fd, SIOCOUTQ, &queued) < 0 || queued == 0 || queued != peer->queued)
        peer->moved = now;
    peer->queued = queued;
    return now - peer->moved >= KH_PEERS_STALL_MS &&
           now - peers->moved >= KH_PEERS_STALL_MS &&
           kh_tally_held(peers->tally) > KH_PEERS_KEEP;
}

/* True when libzmq has whole messages that nobody has taken yet: then it cannot
 * be told what is unfinished. */
static bool
has_messages(const struct kh_peers *peers)
{
    int events = 0;
    size_t size = sizeof(events);

    return zmq_getsockopt(peers->socket, ZMQ_EVENTS, &events, &size) < 0 ||
           (events & ZMQ_POLLIN);
}

static bool
hoards(const struct kh_peers *peers, const struct kh_peer *peer)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    size_t most = peer->right || peers->keeps ? peers->trusted : KH_PEERS_UNFINISHED;

    return peer->tcp &&
           getsockopt(peer->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_bytes_received > peer->taken &&
           info.tcpi_bytes_received - peer->taken > most &&
           (peers->keeps || !has_messages(peers));
}

/* What is counted here and there drifts apart by a few bytes, by ZMTP's own
 * heartbeats for one: so much is forgiven a tick. */
static void
forgive(struct kh_peer *peer)
{
    peer->taken++;
}

/* Returns whether the peer is still there. Whether the descriptor still is its
 * socket is asked only when it matters: most peers are idle, and this is all
 * that they cost. */
static bool
look_at(struct kh_peers *peers, struct kh_peer *peer, uint64_t now)
{
    const char *why = NULL;

    forgive(peer);
    if (hoards(peers, peer))
        why = peers->keeps ? "it subscribes too much" : "its message does not end";
    else if (stalls(peers, peer, now))
        why = "it does not read";
    if (!why)
        return true;
    cut(peers, peer, why);
    return false;
}

static void
look_at_all(struct kh_peers *peers, uint64_t now)
{
    struct kh_peer *peer, *next;
    int i;

    for (i = 0; i < KH_PEERS_BUCKETS; i++)
        for (peer = peers->bucket[i]; peer; peer = next) {
            next = peer->next;
            if (!look_at(peers, peer, now))
                forget(peers, peer->fd);
        }
}

static void
on_tick(void *arg)
{
    struct kh_peers *peers = arg;
    uint64_t freed = kh_tally_freed(peers->tally);
    uint64_t now = kh_loop_now(peers->loop);
    bool was_held = peers->held;

    peers->held = kh_tally_held(peers->tally) != 0;
    if (freed != peers->freed || !was_held)
        peers->moved = now;
    peers->freed = freed;
    look_at_all(peers, now);
    if (peers->held || was_held)
        peers->events.moved(peers->events.arg);
    look_on(peers);
}

void
kh_peers_sent(struct kh_peers *peers)
{
    look_on(peers);
}

void
kh_peers_taken(struct kh_peers *peers, int fd, size_t size, bool right)
{
    struct kh_peer *peer = fd < 0 ? NULL : *kh_peers_place(peers, fd);

    /* It may have been quicker than the news of its connection. */
    while (fd >= 0 && !peer && kh_monitor_next(peers->monitor))
        peer = *kh_peers_place(peers, fd);
    if (!peer)
        return;
    if (!peers->keeps)
        peer->taken += size;
    peer->right |= right;
}

struct kh_peers *
kh_peers_new(struct kh_loop *loop, void *socket, size_t trusted, bool keeps,
             struct kh_tally *tally, const struct kh_peers_events *peers_events,
             struct kh_error *err)
{
    struct kh_peers *peers = kh_xcalloc(1, sizeof(*peers));
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                 ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED;

    peers->loop = loop;
    peers->socket = socket;
    peers->trusted = trusted;
    peers->keeps = keeps;
    peers->tally = tally;
    peers->events = *peers_events;
    peers->timer = kh_timer_new(loop, on_tick, peers);
    peers->monitor = kh_monitor_of(loop, err);
    if (!peers->monitor || kh_monitor_watch(peers->monitor, socket, events, on_event,
                                            peers, &peers->key, err) < 0) {
        kh_peers_free(peers);
        return NULL;
    }
    return peers;
}

void
kh_peers_free(struct kh_peers *peers)
{
    int i;

    if (!peers)
        return;
    kh_monitor_leave(peers->monitor, peers->socket, peers->key);
    kh_timer_close(peers->timer);
    for (i = 0; i < KH_PEERS_BUCKETS; i++)
        while (peers->bucket[i])
            forget(peers, peers->bucket[i]->fd);
    free(peers);
}

unsigned
kh_peers_count(const struct kh_peers *peers)
{
    return peers->count;
}
