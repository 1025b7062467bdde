#include "kernelhost/gateway/channels.h"

#include <arpa/inet.h>
#include <czmq.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/stall.h"
#include "kernelhost/gateway/tally.h"

#define LINGER_MS        1000
#define SUBSCRIPTION_MAX 1024 /* bytes; a topic is "kernel.UUID.type" at most */
#define SMALL_MAX        (1024 * 1024)
#define RECEIVE_HWM      64 /* messages a peer may have waiting while we pause */
#define BOUND_MAX        2  /* ipc and tcp */
#define REPLAY_WINDOW    65536

/* What differs between the four sockets of the loop's thread. */
static const struct {
    int type;
    enum kh_channel channel;
    size_t message_max; /* one frame */
} kinds[] = {
    {ZMQ_ROUTER, KH_CHANNEL_SHELL, KH_WIRE_MAX},
    {ZMQ_ROUTER, KH_CHANNEL_CONTROL, SMALL_MAX},
    {ZMQ_ROUTER, KH_CHANNEL_STDIN, SMALL_MAX},
    {ZMQ_XPUB, KH_CHANNEL_IOPUB, SUBSCRIPTION_MAX},
};

#define PLUGS KH_COUNT(kinds)

/* One socket with what belongs to it. */
struct plug {
    struct kh_channels *channels;
    enum kh_channel channel;
    zsock_t *sock;
    struct kh_zwatch *watch;
    struct kh_tally *tally;
    struct kh_stall *stall;
};

struct kh_channels {
    struct kh_loop *loop;
    struct kh_heart *heart;
    struct kh_channels_events events;
    struct kh_signer *signer;
    struct kh_replay *replay;
    struct plug plug[PLUGS];
    uint64_t beat; /* heart's key; 0: still */
    char beat_at[BOUND_MAX][KH_HEART_ENDPOINT_SIZE];
    unsigned beats; /* endpoints in beat_at */
    unsigned long faults[KH_WIRE_FAULTS];
    char name[KH_UUID_SIZE];
};

static struct plug *
plug_of(struct kh_channels *channels, enum kh_channel channel)
{
    size_t i;

    for (i = 0; i < PLUGS; i++)
        if (channels->plug[i].channel == channel)
            return &channels->plug[i];
    return NULL;
}

/* The first of its kind is worth a line; the rest are only counted, so that a
 * peer cannot fill the log. */
static void
count_fault(struct kh_channels *channels, enum kh_channel channel,
            enum kh_wire_fault fault, const struct kh_error *why)
{
    char text[200];

    if (channels->faults[fault]++)
        return;
    kh_log(KH_LOG_WARN, "message dropped kernel=%s channel=%s fault=%s why=%s",
           channels->name, kh_channel_name(channel), kh_wire_fault_name(fault),
           kh_log_clean(why->text, strlen(why->text), text, sizeof(text)));
}

/* Receives all frames of one message; those beyond MAX are thrown away and
 * counted. Returns their number, 0 when there is no message. */
static size_t
receive(zsock_t *sock, zmq_msg_t *parts, size_t max)
{
    void *handle = zsock_resolve(sock);
    size_t count = 0;
    int more = 1;

    while (more) {
        zmq_msg_t extra, *part = count < max ? &parts[count] : &extra;

        zmq_msg_init(part);
        if (zmq_msg_recv(part, handle, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(part);
            break;
        }
        more = zmq_msg_more(part);
        if (part == &extra)
            zmq_msg_close(part);
        count++;
    }
    return count;
}

static void
on_router(void *arg)
{
    struct plug *plug = arg;
    struct kh_channels *channels = plug->channels;
    zmq_msg_t parts[KH_WIRE_FRAMES_MAX];
    struct kh_slice frames[KH_WIRE_FRAMES_MAX];
    size_t count = receive(plug->sock, parts, KH_WIRE_FRAMES_MAX), i;
    size_t kept = count < KH_WIRE_FRAMES_MAX ? count : KH_WIRE_FRAMES_MAX;
    struct kh_error why = {0};
    enum kh_wire_fault fault;
    struct kh_wire wire;

    for (i = 0; i < kept; i++)
        frames[i] = (struct kh_slice){zmq_msg_data(&parts[i]), zmq_msg_size(&parts[i])};
    if (count > kept) {
        fault = KH_WIRE_TOO_LARGE;
        kh_fail(&why, EMSGSIZE, "message has %zu frames", count);
    } else {
        fault = kh_wire_parse(frames, count, channels->signer, channels->replay, &wire,
                              &why);
    }
    if (fault != KH_WIRE_OK)
        count_fault(channels, plug->channel, fault, &why);
    else
        channels->events.request(channels->events.arg, plug->channel, &wire);
    for (i = 0; i < kept; i++)
        zmq_msg_close(&parts[i]);
}

/* A subscription is one frame: 1 or 0, then the topic. Anything else a SUB could
 * send upstream is nothing to us. */
static void
on_xpub(void *arg)
{
    struct plug *plug = arg;
    struct kh_channels *channels = plug->channels;
    zmq_msg_t part;
    size_t count = receive(plug->sock, &part, 1), size;
    const char *data;

    if (!count)
        return;
    data = zmq_msg_data(&part);
    size = zmq_msg_size(&part);
    if (count == 1 && size >= 1 && data[0] == 1)
        channels->events.subscribed(channels->events.arg,
                                    (struct kh_slice){data + 1, size - 1});
    zmq_msg_close(&part);
}

static void
on_moved(void *arg)
{
    struct kh_channels *channels = arg;

    channels->events.moved(channels->events.arg);
}

static void
on_cut(void *arg)
{
    struct kh_channels *channels = arg;

    kh_log(KH_LOG_WARN, "client cut because it does not read kernel=%s ms=%d",
           channels->name, KH_STALL_MS);
}

static int
open_plug(struct kh_channels *channels, size_t i, struct kh_error *err)
{
    struct plug *plug = &channels->plug[i];
    void *handle;

    plug->channels = channels;
    plug->channel = kinds[i].channel;
    plug->sock = zsock_new(kinds[i].type);
    if (!plug->sock)
        return kh_fail_errno(err, "cannot make a ZeroMQ socket");
    handle = zsock_resolve(plug->sock);
    zsock_set_linger(plug->sock, LINGER_MS);
    zsock_set_sndhwm(plug->sock, 0);
    zsock_set_rcvhwm(plug->sock, RECEIVE_HWM);
    zsock_set_maxmsgsize(plug->sock, (int)kinds[i].message_max);
    zsock_set_tcp_keepalive(plug->sock, 1);
    zsock_set_tcp_keepalive_idle(plug->sock, 60);
    if (kinds[i].type == ZMQ_ROUTER)
        zsock_set_router_handover(plug->sock, 1);
    else
        zsock_set_xpub_verbose(plug->sock, 1);
    plug->tally = kh_tally_new();
    plug->stall = kh_stall_new(channels->loop, handle, plug->tally, on_moved, on_cut,
                               channels, err);
    if (!plug->stall)
        return -err->code;
    plug->watch =
        kh_zwatch_new(channels->loop, handle,
                      kinds[i].type == ZMQ_XPUB ? on_xpub : on_router, plug, err);
    return plug->watch ? 0 : -err->code;
}

struct kh_channels *
kh_channels_new(struct kh_loop *loop, struct kh_heart *heart, const char *name,
                const char *scheme, struct kh_slice key,
                const struct kh_channels_events *events, struct kh_error *err)
{
    struct kh_channels *channels = kh_xcalloc(1, sizeof(*channels));
    size_t i;
    int r;

    channels->loop = loop;
    channels->heart = heart;
    channels->events = *events;
    snprintf(channels->name, sizeof(channels->name), "%s", name);
    channels->replay = kh_replay_new(REPLAY_WINDOW);
    r = kh_signer_new(scheme, key, &channels->signer, err);
    for (i = 0; i < PLUGS && r == 0; i++)
        r = open_plug(channels, i, err);
    if (r < 0) {
        kh_channels_free(channels);
        return NULL;
    }
    return channels;
}

static void
close_plug(struct plug *plug)
{
    kh_zwatch_close(plug->watch);
    kh_stall_free(plug->stall);
    zsock_destroy(&plug->sock);
    kh_tally_unref(plug->tally);
}

void
kh_channels_free(struct kh_channels *channels)
{
    size_t i;

    if (!channels)
        return;
    kh_channels_still(channels);
    for (i = 0; i < PLUGS; i++)
        close_plug(&channels->plug[i]);
    kh_signer_free(channels->signer);
    kh_replay_free(channels->replay);
    free(channels);
}

/* The port at the end of "tcp://127.0.0.1:5555". */
static uint16_t
port_of(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');

    return colon ? (uint16_t)atoi(colon + 1) : 0;
}

/* Where a channel is bound: FILE's place, but relative for ipc and without
 * names that would have to be looked up. */
static int
place(const struct kh_connfile *file, enum kh_channel channel, const char *bind_prefix,
      char ret_place[KH_HEART_ENDPOINT_SIZE], struct kh_error *err)
{
    char public[KH_ENDPOINT_SIZE];
    unsigned char v6[16];
    const char *ip = strcmp(file->ip, "localhost") ? file->ip : "127.0.0.1";
    bool brackets = inet_pton(AF_INET6, ip, v6) == 1;
    char port[8] = "*";

    if (kh_connfile_is_ipc(file)) {
        snprintf(ret_place, KH_HEART_ENDPOINT_SIZE, "ipc://%s-%u", bind_prefix,
                 file->port[channel]);
        /* The clients' name for it must fit their sun_path. */
        return kh_connfile_endpoint(file, channel, public, err);
    }
    if (file->port[channel])
        snprintf(port, sizeof(port), "%u", file->port[channel]);
    snprintf(ret_place, KH_HEART_ENDPOINT_SIZE, "tcp://%s%s%s:%s", brackets ? "[" : "",
             ip, brackets ? "]" : "", port);
    return 0;
}

static int
bind_plug(struct plug *plug, const char *where, bool v6,
          char ret_endpoint[KH_HEART_ENDPOINT_SIZE], struct kh_error *err)
{
    void *handle = zsock_resolve(plug->sock);
    size_t size = KH_HEART_ENDPOINT_SIZE;

    if (v6)
        zsock_set_ipv6(plug->sock, 1);
    if (zmq_bind(handle, where) < 0)
        return kh_fail(err, errno, "cannot bind %s to '%s': %s",
                       kh_channel_name(plug->channel), where, zmq_strerror(errno));
    zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, ret_endpoint, &size);
    kh_zwatch_kick(plug->watch);
    return 0;
}

static int
bind_channel(struct kh_channels *channels, enum kh_channel channel, const char *where,
             bool v6, char ret_endpoint[KH_HEART_ENDPOINT_SIZE], struct kh_error *err)
{
    int r;

    if (channel != KH_CHANNEL_HB)
        return bind_plug(plug_of(channels, channel), where, v6, ret_endpoint, err);
    if (channels->beats == BOUND_MAX)
        return kh_fail(err, EBUSY, "kernel '%s' is bound twice already",
                       channels->name);
    r = kh_heart_bind(channels->heart, channels->beat, where, &channels->beat,
                      ret_endpoint, err);
    if (r == 0)
        memcpy(channels->beat_at[channels->beats++], ret_endpoint,
               KH_HEART_ENDPOINT_SIZE);
    return r;
}

/* The heartbeat is bound last, so it never has to be taken back. */
static void
unbind(struct kh_channels *channels, char bound[][KH_HEART_ENDPOINT_SIZE], int count)
{
    while (count-- > 0)
        zmq_unbind(zsock_resolve(plug_of(channels, count)->sock), bound[count]);
}

int
kh_channels_bind(struct kh_channels *channels, struct kh_connfile *file,
                 const char *bind_prefix, struct kh_error *err)
{
    char where[KH_HEART_ENDPOINT_SIZE];
    char bound[KH_CHANNELS][KH_HEART_ENDPOINT_SIZE];
    bool v6 = !kh_connfile_is_ipc(file) && strchr(file->ip, ':');
    int channel, r;

    for (channel = 0; channel < KH_CHANNELS; channel++) {
        r = place(file, channel, bind_prefix, where, err);
        if (r == 0)
            r = bind_channel(channels, channel, where, v6, bound[channel], err);
        if (r < 0) {
            unbind(channels, bound, channel);
            return r;
        }
    }
    for (channel = 0; channel < KH_CHANNELS && !kh_connfile_is_ipc(file); channel++)
        file->port[channel] = port_of(bound[channel]);
    return 0;
}

/* Hands frames to libzmq. The last one carries the weight of them all, since it
 * is freed last. */
static int
send_frames(struct plug *plug, const struct kh_wire_out *out, struct kh_error *err)
{
    void *handle = zsock_resolve(plug->sock);
    size_t weight = 0, i;

    for (i = 0; i < out->count; i++)
        weight += out->frame[i].size + sizeof(zmq_msg_t);
    for (i = 0; i < out->count; i++) {
        const struct kh_slice *frame = &out->frame[i];
        bool last = i + 1 == out->count;
        zmq_msg_t msg;

        if (last) {
            kh_tally_message(plug->tally, &msg, frame->data, frame->size, weight);
        } else {
            if (zmq_msg_init_size(&msg, frame->size) < 0)
                return kh_fail_errno(err, "cannot make a message");
            if (frame->size)
                memcpy(zmq_msg_data(&msg), frame->data, frame->size);
        }
        if (zmq_msg_send(&msg, handle, ZMQ_DONTWAIT | (last ? 0 : ZMQ_SNDMORE)) < 0) {
            zmq_msg_close(&msg);
            return kh_fail_errno(err, "cannot send on %s",
                                 kh_channel_name(plug->channel));
        }
    }
    kh_zwatch_kick(plug->watch);
    kh_stall_sent(plug->stall);
    return 0;
}

int
kh_channels_send(struct kh_channels *channels, const struct kh_message *message,
                 const struct kh_slice *ident, size_t ident_count, struct kh_error *err)
{
    struct kh_wire wire;
    struct kh_wire_out out;
    char topic[KH_UUID_SIZE + 80];
    int r;

    wire.ident_count = ident_count;
    if (ident_count)
        memcpy(wire.ident, ident, ident_count * sizeof(*ident));
    if (!ident_count && message->channel == KH_CHANNEL_IOPUB) {
        snprintf(topic, sizeof(topic), "kernel.%s.%s", channels->name,
                 message->msg_type);
        wire.ident[wire.ident_count++] = kh_slice_text(topic);
    }
    wire.header = message->header;
    wire.parent_header = message->parent_header;
    wire.metadata = message->metadata;
    wire.content = message->content;
    wire.buffer_count = message->buffer_count;
    if (message->buffer_count)
        memcpy(wire.buffer, message->buffer,
               message->buffer_count * sizeof(*message->buffer));
    r = kh_wire_compose(&wire, channels->signer, &out, err);
    if (r < 0)
        return r;
    return send_frames(plug_of(channels, message->channel), &out, err);
}

void
kh_channels_still(struct kh_channels *channels)
{
    kh_heart_stop(channels->heart, channels->beat);
    channels->beat = 0;
}

int
kh_channels_beat(struct kh_channels *channels, struct kh_error *err)
{
    char bound[KH_HEART_ENDPOINT_SIZE];
    unsigned i;

    if (channels->beat)
        return 0;
    for (i = 0; i < channels->beats; i++) {
        int r = kh_heart_bind(channels->heart, channels->beat, channels->beat_at[i],
                              &channels->beat, bound, err);

        if (r < 0)
            return r;
    }
    return 0;
}

void
kh_channels_pause(struct kh_channels *channels, bool paused)
{
    kh_zwatch_pause(plug_of(channels, KH_CHANNEL_SHELL)->watch, paused);
}

size_t
kh_channels_waiting(const struct kh_channels *channels)
{
    size_t total = 0, i;

    for (i = 0; i < PLUGS; i++)
        total += kh_tally_held(channels->plug[i].tally);
    return total;
}

unsigned
kh_channels_peers(const struct kh_channels *channels)
{
    struct plug *plug = plug_of((struct kh_channels *)channels, KH_CHANNEL_IOPUB);

    return kh_stall_peers(plug->stall);
}
