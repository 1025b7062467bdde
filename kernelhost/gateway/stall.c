#include "kernelhost/gateway/stall.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <czmq.h>

#include "base/clean.h"
#include "base/mem.h"

#define TICK_MS 50

struct peer {
    struct peer *next;
    int fd;         /* libzmq's own: it may be closed and reused at any time, */
    ino_t inode;    /* so the inode tells whether it still is this socket */
    int queued;     /* SIOCOUTQ when last seen */
    uint64_t moved; /* when that last changed or was 0 */
};

struct kh_stall {
    struct kh_loop *loop;
    void *socket;
    struct kh_tally *tally;
    zsock_t *monitor;
    struct kh_zwatch *watch;
    struct kh_timer *timer;
    void (*on_moved)(void *arg);
    void (*on_cut)(void *arg);
    void *arg;
    struct peer *peers;
    unsigned count;
    uint64_t freed; /* the tally's when last seen */
    uint64_t moved; /* when that last changed */
};

static bool
same_socket(const struct peer *peer)
{
    struct stat st;

    return fstat(peer->fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
           st.st_ino == peer->inode;
}

static void
forget(struct kh_stall *stall, int fd)
{
    struct peer **at = &stall->peers;

    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    if (*at) {
        struct peer *peer = *at;

        *at = peer->next;
        stall->count--;
        free(peer);
    }
}

static void
remember(struct kh_stall *stall, int fd)
{
    struct peer *peer;
    struct stat st;

    forget(stall, fd);
    if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
        return; /* gone before we heard of it */
    peer = kh_xcalloc(1, sizeof(*peer));
    peer->fd = fd;
    peer->inode = st.st_ino;
    peer->moved = kh_loop_now(stall->loop);
    peer->next = stall->peers;
    stall->peers = peer;
    stall->count++;
}

/* Two frames: u16 event and u32 value, then the endpoint. */
static void
on_monitor(void *arg)
{
    struct kh_stall *stall = arg;
    zmsg_t *msg = zmsg_recv(stall->monitor);
    zframe_t *frame = msg ? zmsg_first(msg) : NULL;
    uint16_t event;
    int32_t value;

    if (frame && zframe_size(frame) == 6) {
        memcpy(&event, zframe_data(frame), 2);
        memcpy(&value, zframe_data(frame) + 2, 4);
        if (event == ZMQ_EVENT_ACCEPTED)
            remember(stall, value);
        else if (event == ZMQ_EVENT_DISCONNECTED || event == ZMQ_EVENT_CLOSED)
            forget(stall, value);
    }
    zmsg_destroy(&msg);
}

static void
look_at(struct peer *peer, uint64_t now)
{
    int queued = 0;

    if (ioctl(peer->fd, SIOCOUTQ, &queued) < 0 || queued == 0 || queued != peer->queued)
        peer->moved = now;
    peer->queued = queued;
}

static void
cut(struct kh_stall *stall, struct peer *peer)
{
    shutdown(peer->fd, SHUT_RDWR);
    forget(stall, peer->fd);
    stall->moved = kh_loop_now(stall->loop);
    if (stall->on_cut)
        stall->on_cut(stall->arg);
}

static void
look_at_all(struct kh_stall *stall, uint64_t now)
{
    bool stalled = now - stall->moved >= KH_STALL_MS &&
                   kh_tally_held(stall->tally) > KH_STALL_KEEP;
    struct peer *peer = stall->peers, *next;

    for (; peer; peer = next) {
        next = peer->next;
        if (!same_socket(peer)) {
            forget(stall, peer->fd);
            continue;
        }
        look_at(peer, now);
        if (stalled && now - peer->moved >= KH_STALL_MS)
            cut(stall, peer);
    }
}

static void
on_tick(void *arg)
{
    struct kh_stall *stall = arg;
    uint64_t freed = kh_tally_freed(stall->tally);
    uint64_t now = kh_loop_now(stall->loop);
    bool idle = kh_tally_held(stall->tally) == 0;

    if (freed != stall->freed || idle)
        stall->moved = now;
    stall->freed = freed;
    if (idle)
        kh_timer_stop(stall->timer);
    else
        look_at_all(stall, now);
    stall->on_moved(stall->arg);
}

void
kh_stall_sent(struct kh_stall *stall)
{
    struct peer *peer;

    if (kh_timer_active(stall->timer) || kh_tally_held(stall->tally) == 0)
        return;
    stall->moved = kh_loop_now(stall->loop);
    for (peer = stall->peers; peer; peer = peer->next)
        peer->moved = stall->moved;
    kh_timer_start(stall->timer, TICK_MS, TICK_MS);
}

struct kh_stall *
kh_stall_new(struct kh_loop *loop, void *socket, struct kh_tally *tally,
             void (*moved)(void *arg), void (*cut_)(void *arg), void *arg,
             struct kh_error *err)
{
    static unsigned long number;
    struct kh_stall *stall = kh_xcalloc(1, sizeof(*stall));
    char endpoint[64];

    snprintf(endpoint, sizeof(endpoint), "inproc://monitor-%lu", ++number);
    *stall = (struct kh_stall){.loop = loop,
                               .socket = socket,
                               .tally = tally,
                               .on_moved = moved,
                               .on_cut = cut_,
                               .arg = arg};
    stall->monitor = zsock_new(ZMQ_PAIR);
    stall->timer = kh_timer_new(loop, on_tick, stall);
    if (!stall->monitor ||
        zmq_socket_monitor(socket, endpoint,
                           ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED |
                               ZMQ_EVENT_CLOSED) < 0 ||
        zsock_connect(stall->monitor, "%s", endpoint) < 0) {
        kh_fail_errno(err, "cannot monitor a ZeroMQ socket");
        kh_stall_free(stall);
        return NULL;
    }
    stall->watch =
        kh_zwatch_new(loop, zsock_resolve(stall->monitor), on_monitor, stall, err);
    if (!stall->watch) {
        kh_stall_free(stall);
        return NULL;
    }
    return stall;
}

void
kh_stall_free(struct kh_stall *stall)
{
    if (!stall)
        return;
    zmq_socket_monitor(stall->socket, NULL, 0);
    kh_zwatch_close(stall->watch);
    kh_timer_close(stall->timer);
    zsock_destroy(&stall->monitor);
    while (stall->peers)
        forget(stall, stall->peers->fd);
    free(stall);
}

unsigned
kh_stall_peers(const struct kh_stall *stall)
{
    return stall->count;
}
