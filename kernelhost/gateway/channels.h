/* channels: the ZeroMQ endpoints of one kernel.
 *
 * ROUTER for shell, control and stdin, XPUB for iopub, a heartbeat (heart.h). One
 * set of sockets a kernel, bound to ipc, to TCP, or to both, each with its own
 * connection file; the key is the same. They outlive the interpreter: a restart
 * changes no port. What arrives is verified (signature, replay, limits) before
 * the owner sees it; what is wrong is dropped, counted and logged once a kind.
 * What leaves is counted by tallies, so that memory stays bounded and a peer that
 * does not read is cut (stall.h).
 */
#ifndef KH_GATEWAY_CHANNELS_H
#define KH_GATEWAY_CHANNELS_H

#include "kernelhost/gateway/heart.h"
#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/message.h"
#include "protocol/jupyter/connfile.h"
#include "protocol/jupyter/wire.h"

struct kh_channels;

/* Bytes of output that may wait for slow clients of one kernel: above HIGH the
 * owner should hold the kernel until LOW. */
#define KH_CHANNELS_HIGH (64u * 1024 * 1024)
#define KH_CHANNELS_LOW  (16u * 1024 * 1024)

struct kh_channels_events {
    /* A verified message; WIRE borrows from it. FROM is its connection. */
    void (*request)(void *arg, enum kh_channel channel, const struct kh_wire *wire,
                    const struct kh_route_mark *from);
    /* Somebody subscribed to TOPIC on iopub. */
    void (*subscribed)(void *arg, struct kh_slice topic);
    /* A client can be spoken to from now on. */
    void (*joined)(void *arg);
    /* Output that waited has moved: look at kh_channels_waiting. */
    void (*moved)(void *arg);
    void *arg;
};

/* Makes the sockets, bound to nothing yet. NAME (a kernel id) is for logs and
 * topics. KEY and SCHEME sign. What is written to clients is noted in LEDGER (may be
 * NULL) as of its kernel INDEX. */
struct kh_channels *kh_channels_new(struct kh_loop *loop, struct kh_heart *heart,
                                    const char *name, const char *scheme,
                                    struct kh_slice key, struct kh_ledger *ledger,
                                    uint32_t index,
                                    const struct kh_channels_events *events,
                                    struct kh_error *err);
void kh_channels_free(struct kh_channels *channels);

/* Positions are of another journal from now on: nobody has anything of it yet. */
void kh_channels_begin(struct kh_channels *channels);

/* Everything up to this position was published by an earlier process. */
void kh_channels_told(struct kh_channels *channels, uint64_t position);

/* Binds all five to where FILE says; a port of 0 (tcp) is chosen here and put
 * into FILE. For ipc the sockets are made at BIND_PREFIX-N (relative to the
 * working directory) while FILE->ip is what clients see. Either all five are
 * bound or an error comes back; the set should then be freed. */
int kh_channels_bind(struct kh_channels *channels, struct kh_connfile *file,
                     const char *bind_prefix, struct kh_error *err);

/* Signs and sends a message: iopub to all subscribers, shell and control to
 * IDENT (routing identities of the request). A message over the wire limits is
 * not sent: -EMSGSIZE. */
int kh_channels_send(struct kh_channels *channels, const struct kh_message *message,
                     const struct kh_slice *ident, size_t ident_count,
                     struct kh_error *err);

/* The heartbeat stops: clients see that the kernel is dead. kh_channels_beat
 * lets it begin again where it was. */
void kh_channels_still(struct kh_channels *channels);
int kh_channels_beat(struct kh_channels *channels, struct kh_error *err);

/* Bytes that slow clients have not taken yet, and clients of iopub. */
size_t kh_channels_waiting(const struct kh_channels *channels);
unsigned kh_channels_peers(const struct kh_channels *channels);

/* Clients that have subscribed, and connections of all others but the heartbeat's. */
unsigned kh_channels_subscribers(const struct kh_channels *channels);
unsigned kh_channels_askers(const struct kh_channels *channels);

/* The position up to which all that was published is out to every subscriber;
 * KH_POSITION_END: all of it. And whether a reply is. See peers.h. */
uint64_t kh_channels_written(struct kh_channels *channels);
bool kh_channels_answered(const struct kh_channels *channels, enum kh_channel channel,
                          const struct kh_route_mark *to, uint64_t position);

#endif
