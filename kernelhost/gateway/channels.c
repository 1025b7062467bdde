#include "kernelhost/gateway/channels.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/peers.h"
#include "kernelhost/gateway/plug.h"

#define LINGER_MS         1000
#define SUBSCRIPTIONS_MAX (64 * 1024) /* of one peer; clients need one */
#define SUBSCRIPTION_MAX  1024        /* bytes; a topic is "kernel.UUID.type" at most */
#define SMALL_MAX         (1024 * 1024)
#define BOUND_MAX         2 /* ipc and tcp */
#define REPLAY_WINDOW     65536
#define CUTS_LOGGED       5 /* of one kernel; who is cut comes back */

/* The sockets of the loop's thread; the heartbeat has a thread of its own. */
static const struct kh_plug_kind kinds[KH_CHANNEL_HB] = {
    [KH_CHANNEL_SHELL] = {ZMQ_ROUTER, KH_WIRE_MAX, KH_WIRE_MAX, LINGER_MS},
    [KH_CHANNEL_IOPUB] = {ZMQ_XPUB, SUBSCRIPTION_MAX, SUBSCRIPTIONS_MAX, LINGER_MS},
    [KH_CHANNEL_STDIN] = {ZMQ_ROUTER, SMALL_MAX, 4 * SMALL_MAX, LINGER_MS},
    [KH_CHANNEL_CONTROL] = {ZMQ_ROUTER, SMALL_MAX, 4 * SMALL_MAX, LINGER_MS},
};

#define PLUGS KH_COUNT(kinds)

struct kh_channels {
    struct kh_heart *heart;
    struct kh_channels_events events;
    struct kh_signer *signer;
    struct kh_replay *replay;
    struct kh_plug *plug[PLUGS];
    uint64_t beat; /* heart's key; 0: still */
    char beat_at[BOUND_MAX][KH_PLACE_SIZE];
    unsigned beats;                           /* places in beat_at */
    char sockets[KH_CHANNELS][KH_PLACE_SIZE]; /* files of ipc; "" where none */
    unsigned long faults[KH_WIRE_FAULTS];
    unsigned long cuts;
    char name[KH_UUID_SIZE];
};

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

static bool
on_request(struct kh_channels *channels, enum kh_channel channel, int fd,
           const struct kh_slice *frames, size_t count)
{
    struct kh_route_mark from = {
        .fd = fd,
        .birth = kh_peers_birth(kh_plug_connections(channels->plug[channel]), fd)};
    struct kh_error why = {0};
    enum kh_wire_fault fault = KH_WIRE_TOO_LARGE;
    struct kh_wire wire;

    if (count > KH_WIRE_FRAMES_MAX)
        kh_fail(&why, EMSGSIZE, "message has %zu frames", count);
    else
        fault = kh_wire_parse(frames, count, channels->signer, channels->replay, &wire,
                              &why);
    if (fault != KH_WIRE_OK)
        count_fault(channels, channel, fault, &why);
    else
        channels->events.request(channels->events.arg, channel, &wire, &from);
    return fault == KH_WIRE_OK;
}

/* A subscription is one frame: 1 or 0, then the topic. Anything else a SUB could
 * send upstream is nothing to us. */
static void
on_subscription(struct kh_channels *channels, const struct kh_slice *frame)
{
    const char *data = frame->data;

    if (frame->size && data[0] == 1)
        channels->events.subscribed(channels->events.arg,
                                    (struct kh_slice){data + 1, frame->size - 1});
}

static bool
on_message(struct kh_plug *plug, void *arg, int fd, const struct kh_slice *frames,
           size_t count)
{
    struct kh_channels *channels = arg;
    int channel = 0;

    while (channels->plug[channel] != plug)
        channel++;
    if (channel != KH_CHANNEL_IOPUB)
        return on_request(channels, (enum kh_channel)channel, fd, frames, count);
    if (count == 1)
        on_subscription(channels, frames);
    return false;
}

static void
on_joined(void *arg)
{
    struct kh_channels *channels = arg;

    channels->events.joined(channels->events.arg);
}

static void
on_moved(void *arg)
{
    struct kh_channels *channels = arg;

    channels->events.moved(channels->events.arg);
}

static void
on_cut(void *arg, const char *why)
{
    struct kh_channels *channels = arg;

    if (channels->cuts++ >= CUTS_LOGGED)
        return;
    kh_log(KH_LOG_WARN, "client cut kernel=%s why=%s", channels->name, why);
}

struct kh_channels *
kh_channels_new(struct kh_loop *loop, struct kh_heart *heart, const char *name,
                const char *scheme, struct kh_slice key, struct kh_ledger *ledger,
                uint32_t index, const struct kh_channels_events *events,
                struct kh_error *err)
{
    struct kh_channels *channels = kh_xcalloc(1, sizeof(*channels));
    struct kh_plug_events plug_events = {.message = on_message,
                                         .joined = on_joined,
                                         .moved = on_moved,
                                         .cut = on_cut,
                                         .arg = channels};
    size_t i;
    bool good;

    channels->heart = heart;
    channels->events = *events;
    snprintf(channels->name, sizeof(channels->name), "%s", name);
    channels->replay = kh_replay_new(REPLAY_WINDOW);
    good = kh_signer_new(scheme, key, &channels->signer, err) == 0;
    for (i = 0; i < PLUGS && good; i++) {
        channels->plug[i] = kh_plug_new(loop, &kinds[i], &plug_events, err);
        good = channels->plug[i];
        if (good && ledger && index < KH_LEDGER_KERNELS)
            kh_peers_note(kh_plug_connections(channels->plug[i]), ledger,
                          kh_ledger_tag(index, (enum kh_channel)i));
    }
    if (!good) {
        kh_channels_free(channels);
        return NULL;
    }
    return channels;
}

void
kh_channels_begin(struct kh_channels *channels)
{
    size_t i;

    for (i = 0; i < KH_COUNT(channels->plug); i++) {
        kh_plug_tell(channels->plug[i], 0);
        kh_peers_begin(kh_plug_connections(channels->plug[i]));
    }
}

void
kh_channels_told(struct kh_channels *channels, uint64_t position)
{
    kh_plug_tell(channels->plug[KH_CHANNEL_IOPUB], position);
}

void
kh_channels_free(struct kh_channels *channels)
{
    size_t i;

    if (!channels)
        return;
    kh_channels_still(channels);
    for (i = 0; i < PLUGS; i++)
        kh_plug_free(channels->plug[i]);
    /* libzmq leaves them. */
    for (i = 0; i < KH_CHANNELS; i++)
        if (channels->sockets[i][0])
            unlink(channels->sockets[i]);
    kh_signer_free(channels->signer);
    kh_replay_free(channels->replay);
    free(channels);
}

/* The port at the end of "tcp://127.0.0.1:5555". */
static uint16_t
port_of(const char *place)
{
    const char *colon = strrchr(place, ':');

    return colon ? (uint16_t)atoi(colon + 1) : 0;
}

/* Where a channel is bound: FILE's place, but relative for ipc and without
 * names that would have to be looked up. */
static int
find_place(const struct kh_connfile *file, enum kh_channel channel,
           const char *bind_prefix, char ret_where[KH_PLACE_SIZE], struct kh_error *err)
{
    char public[KH_ENDPOINT_SIZE];
    unsigned char v6[16];
    const char *ip = strcmp(file->ip, "localhost") ? file->ip : "127.0.0.1";
    bool brackets = inet_pton(AF_INET6, ip, v6) == 1;
    char port[8] = "*";

    if (kh_connfile_is_ipc(file)) {
        snprintf(ret_where, KH_PLACE_SIZE, "ipc://%.200s-%u", bind_prefix,
                 file->port[channel]);
        /* The clients' name for it must fit their sun_path. */
        return kh_connfile_endpoint(file, channel, public, err);
    }
    if (file->port[channel])
        snprintf(port, sizeof(port), "%u", file->port[channel]);
    snprintf(ret_where, KH_PLACE_SIZE, "tcp://%s%s%s:%s", brackets ? "[" : "", ip,
             brackets ? "]" : "", port);
    return 0;
}

static int
bind_heart(struct kh_channels *channels, const char *where, bool v6,
           char ret_place[KH_PLACE_SIZE], struct kh_error *err)
{
    int r;

    if (channels->beats == BOUND_MAX)
        return kh_fail(err, EBUSY, "kernel '%s' is bound twice already",
                       channels->name);
    r = kh_heart_bind(channels->heart, channels->beat, where, v6, &channels->beat,
                      ret_place, err);
    if (r == 0)
        memcpy(channels->beat_at[channels->beats++], ret_place, KH_PLACE_SIZE);
    return r;
}

/* The heartbeat is bound last, so it never has to be taken back. */
static int
bind_channel(struct kh_channels *channels, const struct kh_connfile *file,
             enum kh_channel channel, const char *bind_prefix,
             char ret_place[KH_PLACE_SIZE], struct kh_error *err)
{
    bool v6 = !kh_connfile_is_ipc(file) && strchr(file->ip, ':');
    char where[KH_PLACE_SIZE];
    int r = find_place(file, channel, bind_prefix, where, err);

    if (r < 0)
        return r;
    if (kh_connfile_is_ipc(file))
        memcpy(channels->sockets[channel], where + strlen("ipc://"),
               strlen(where) - strlen("ipc://") + 1);
    if (channel == KH_CHANNEL_HB)
        r = bind_heart(channels, where, v6, ret_place, err);
    else
        r = kh_plug_bind(channels->plug[channel], where, v6, ret_place, err);
    return r < 0 ? kh_fail_in(err, "channel %s", kh_channel_name(channel)) : 0;
}

int
kh_channels_bind(struct kh_channels *channels, struct kh_connfile *file,
                 const char *bind_prefix, struct kh_error *err)
{
    char place[KH_CHANNELS][KH_PLACE_SIZE];
    int channel;

    for (channel = 0; channel < KH_CHANNELS; channel++) {
        int r = bind_channel(channels, file, (enum kh_channel)channel, bind_prefix,
                             place[channel], err);

        if (r == 0)
            continue;
        while (channel-- > 0)
            kh_plug_unbind(channels->plug[channel], place[channel]);
        return r;
    }
    for (channel = 0; channel < KH_CHANNELS && !kh_connfile_is_ipc(file); channel++)
        file->port[channel] = port_of(place[channel]);
    return 0;
}

/* Lays a message out for the wire; topic is used for iopub. */
static void
fill_wire(struct kh_channels *channels, const struct kh_message *message,
          const struct kh_slice *ident, size_t ident_count, char topic[KH_PLACE_SIZE],
          struct kh_wire *wire)
{
    wire->ident_count = ident_count;
    if (ident_count)
        memcpy(wire->ident, ident, ident_count * sizeof(*ident));
    if (!ident_count && message->channel == KH_CHANNEL_IOPUB) {
        snprintf(topic, KH_PLACE_SIZE, "kernel.%s.%s", channels->name,
                 message->msg_type);
        wire->ident[wire->ident_count++] = kh_slice_text(topic);
    }
    wire->header = message->header;
    wire->parent_header = message->parent_header;
    wire->metadata = message->metadata;
    wire->content = message->content;
    wire->buffer_count = message->buffer_count;
    if (message->buffer_count)
        memcpy(wire->buffer, message->buffer,
               message->buffer_count * sizeof(*message->buffer));
}

int
kh_channels_send(struct kh_channels *channels, const struct kh_message *message,
                 const struct kh_slice *ident, size_t ident_count, struct kh_error *err)
{
    struct kh_wire wire;
    struct kh_wire_out out;
    char topic[KH_PLACE_SIZE];
    int r;

    if (message->buffer_count > KH_WIRE_BUFFERS_MAX || ident_count > KH_WIRE_IDENTS_MAX)
        return kh_fail(err, EMSGSIZE, "message has too many frames");
    fill_wire(channels, message, ident, ident_count, topic, &wire);
    r = kh_wire_compose(&wire, channels->signer, &out, err);
    if (r < 0)
        return r;
    return kh_plug_send(channels->plug[message->channel], out.frame, out.count,
                        message->position, err);
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
    char place[KH_PLACE_SIZE];
    unsigned i;

    if (channels->beat)
        return 0;
    for (i = 0; i < channels->beats; i++) {
        bool v6 = strchr(channels->beat_at[i], '[');
        int r = kh_heart_bind(channels->heart, channels->beat, channels->beat_at[i], v6,
                              &channels->beat, place, err);

        if (r < 0)
            return r;
    }
    return 0;
}

size_t
kh_channels_waiting(const struct kh_channels *channels)
{
    size_t total = 0, i;

    for (i = 0; i < PLUGS; i++)
        total += kh_plug_waiting(channels->plug[i]);
    return total;
}

unsigned
kh_channels_peers(const struct kh_channels *channels)
{
    return kh_plug_peers(channels->plug[KH_CHANNEL_IOPUB]);
}

unsigned
kh_channels_subscribers(const struct kh_channels *channels)
{
    return kh_peers_subscribers(kh_plug_connections(channels->plug[KH_CHANNEL_IOPUB]));
}

unsigned
kh_channels_askers(const struct kh_channels *channels)
{
    return kh_plug_peers(channels->plug[KH_CHANNEL_SHELL]) +
           kh_plug_peers(channels->plug[KH_CHANNEL_CONTROL]);
}

uint64_t
kh_channels_written(struct kh_channels *channels)
{
    const struct kh_plug *plug = channels->plug[KH_CHANNEL_IOPUB];

    return kh_peers_written(kh_plug_connections(plug), kh_plug_told(plug));
}

bool
kh_channels_answered(const struct kh_channels *channels, enum kh_channel channel,
                     const struct kh_route_mark *to, uint64_t position)
{
    return kh_peers_answered(kh_plug_connections(channels->plug[channel]), to->fd,
                             to->birth, position);
}
