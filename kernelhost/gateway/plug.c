#include "kernelhost/gateway/plug.h"

#include <czmq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/peers.h"
#include "kernelhost/gateway/tally.h"

#define RECEIVE_HWM      64 /* messages a peer may have waiting while we pause */
#define KEEPALIVE_IDLE_S 60

struct kh_plug {
    struct kh_plug_events events;
    zsock_t *sock;
    struct kh_zwatch *watch;
    struct kh_tally *tally;
    struct kh_peers *peers;
    int type;
    uint64_t told; /* position of the newest message */
};

/* ZMTP: a byte of flags, and the length in one byte or eight. */
static size_t
on_the_wire(const zmq_msg_t *part)
{
    size_t size = zmq_msg_size(part);

    return size + (size > 255 ? 9 : 2);
}

/* Receives all frames of one message; those beyond MAX are thrown away and
 * counted. Returns their number, 0 when there is no message; adds what they took on
 * the wire to *SIZE. */
static size_t
receive(zsock_t *sock, zmq_msg_t *parts, size_t max, size_t *size)
{
    void *handle = zsock_resolve(sock);
    size_t count = 0;
    int more = 1;

    while (more) {
        zmq_msg_t part;

        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, handle, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            break;
        }
        more = zmq_msg_more(&part);
        *size += on_the_wire(&part);
        if (count < max) {
            zmq_msg_init(&parts[count]);
            zmq_msg_move(&parts[count], &part);
        }
        zmq_msg_close(&part);
        count++;
    }
    return count;
}

/* A subscription: 1, then the topic. */
static void
note_subscription(struct kh_plug *plug, int fd, const struct kh_slice *frames,
                  size_t count)
{
    const char *data = frames->data;

    if (count == 1 && frames->size && data[0] == 1)
        kh_peers_subscribed(plug->peers, fd, frames->size > 1, plug->told);
}

static void
on_message(void *arg)
{
    struct kh_plug *plug = arg;
    zmq_msg_t parts[KH_WIRE_FRAMES_MAX];
    struct kh_slice frames[KH_WIRE_FRAMES_MAX];
    size_t size = plug->type == ZMQ_REP ? 2 : 0, i; /* REP takes the delimiter */
    size_t count = receive(plug->sock, parts, KH_WIRE_FRAMES_MAX, &size);
    size_t kept = count < KH_WIRE_FRAMES_MAX ? count : KH_WIRE_FRAMES_MAX;
    bool right;
    int fd;

    for (i = 0; i < kept; i++)
        frames[i] = (struct kh_slice){zmq_msg_data(&parts[i]), zmq_msg_size(&parts[i])};
    if (count) {
        fd = zmq_msg_get(&parts[kept - 1], ZMQ_SRCFD);
        if (plug->type == ZMQ_XPUB)
            note_subscription(plug, fd, frames, count);
        right = plug->events.message(plug, plug->events.arg, fd, frames, count);
        kh_peers_taken(plug->peers, fd, size, right);
    }
    for (i = 0; i < kept; i++)
        zmq_msg_close(&parts[i]);
}

static void
on_moved(void *arg)
{
    struct kh_plug *plug = arg;

    if (plug->type == ZMQ_ROUTER)
        kh_zwatch_pause(plug->watch, kh_tally_held(plug->tally) > KH_PLUG_PAUSE);
    plug->events.moved(plug->events.arg);
}

static void
on_joined(void *arg)
{
    struct kh_plug *plug = arg;

    kh_zwatch_kick(plug->watch);
    plug->events.joined(plug->events.arg);
}

static void
on_cut(void *arg, const char *why)
{
    struct kh_plug *plug = arg;

    plug->events.cut(plug->events.arg, why);
}

static void
set_options(zsock_t *sock, const struct kh_plug_kind *kind)
{
    zsock_set_linger(sock, kind->linger_ms);
    /* A high-water mark drops whatever comes next, `idle` included. */
    zsock_set_sndhwm(sock, 0);
    zsock_set_rcvhwm(sock, RECEIVE_HWM);
    zsock_set_maxmsgsize(sock, (int)kind->frame_max);
    zsock_set_tcp_keepalive(sock, 1);
    zsock_set_tcp_keepalive_idle(sock, KEEPALIVE_IDLE_S);
    if (kind->type == ZMQ_ROUTER)
        zsock_set_router_handover(sock, 1);
    if (kind->type == ZMQ_XPUB)
        zsock_set_xpub_verbose(sock, 1);
}

struct kh_plug *
kh_plug_new(struct kh_loop *loop, const struct kh_plug_kind *kind,
            const struct kh_plug_events *events, struct kh_error *err)
{
    struct kh_plug *plug = kh_xcalloc(1, sizeof(*plug));
    const struct kh_peers_events peers_events = {
        .joined = on_joined, .moved = on_moved, .cut = on_cut, .arg = plug};
    void *handle;

    plug->events = *events;
    plug->sock = zsock_new(kind->type);
    if (!plug->sock) {
        kh_fail_errno(err, "cannot make a ZeroMQ socket");
        kh_plug_free(plug);
        return NULL;
    }
    set_options(plug->sock, kind);
    handle = zsock_resolve(plug->sock);
    plug->tally = kh_tally_new();
    plug->type = kind->type;
    plug->peers = kh_peers_new(loop, handle, kind->message_max, kind->type == ZMQ_XPUB,
                               plug->tally, &peers_events, err);
    if (plug->peers)
        plug->watch = kh_zwatch_new(loop, handle, on_message, plug, err);
    if (!plug->watch) {
        kh_plug_free(plug);
        return NULL;
    }
    return plug;
}

void
kh_plug_free(struct kh_plug *plug)
{
    if (!plug)
        return;
    kh_zwatch_close(plug->watch);
    kh_peers_free(plug->peers);
    zsock_destroy(&plug->sock);
    kh_tally_unref(plug->tally);
    free(plug);
}

int
kh_plug_bind(struct kh_plug *plug, const char *where, bool v6,
             char ret_place[KH_PLACE_SIZE], struct kh_error *err)
{
    void *handle = zsock_resolve(plug->sock);
    size_t size = KH_PLACE_SIZE;

    if (v6)
        zsock_set_ipv6(plug->sock, 1);
    if (zmq_bind(handle, where) < 0)
        return kh_fail(err, errno, "cannot bind '%s': %s", where, zmq_strerror(errno));
    zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, ret_place, &size);
    kh_zwatch_kick(plug->watch);
    return 0;
}

void
kh_plug_unbind(struct kh_plug *plug, const char *place)
{
    zmq_unbind(zsock_resolve(plug->sock), place);
    kh_zwatch_kick(plug->watch);
}

/* The last frame carries the weight of them all, since it is freed last. */
static int
make_part(struct kh_plug *plug, zmq_msg_t *part, const struct kh_slice *frame,
          size_t weight)
{
    if (weight) {
        kh_tally_message(plug->tally, part, frame->data, frame->size, weight);
        return 0;
    }
    if (zmq_msg_init_size(part, frame->size) < 0)
        return -errno;
    if (frame->size)
        memcpy(zmq_msg_data(part), frame->data, frame->size);
    return 0;
}

int
kh_plug_send(struct kh_plug *plug, const struct kh_slice *frames, size_t count,
             uint64_t position, struct kh_error *err)
{
    void *handle = zsock_resolve(plug->sock);
    size_t weight = 0, i;

    if (position)
        plug->told = position;
    for (i = 0; i < count; i++)
        weight += frames[i].size + sizeof(zmq_msg_t);
    for (i = 0; i < count; i++) {
        bool last = i + 1 == count;
        zmq_msg_t part;

        if (make_part(plug, &part, &frames[i], last ? weight : 0) < 0)
            return kh_fail(err, ENOMEM, "cannot make a message");
        if (zmq_msg_send(&part, handle, ZMQ_DONTWAIT | (last ? 0 : ZMQ_SNDMORE)) < 0) {
            zmq_msg_close(&part);
            return kh_fail_errno(err, "cannot send a message");
        }
    }
    kh_zwatch_kick(plug->watch);
    kh_peers_sent(plug->peers);
    return 0;
}

struct kh_peers *
kh_plug_connections(const struct kh_plug *plug)
{
    return plug->peers;
}

uint64_t
kh_plug_told(const struct kh_plug *plug)
{
    return plug->told;
}

void
kh_plug_tell(struct kh_plug *plug, uint64_t position)
{
    plug->told = position;
}

size_t
kh_plug_waiting(const struct kh_plug *plug)
{
    return kh_tally_held(plug->tally);
}

unsigned
kh_plug_peers(const struct kh_plug *plug)
{
    return kh_peers_count(plug->peers);
}
