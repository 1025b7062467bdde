/* plug: one ZeroMQ socket of a kernel, with what keeps it within bounds.
 *
 * The socket, its watch on a loop, the tally of what it still holds and its peers.
 * Owned by channels.h, or by heart.h in its own thread. Messages go in and out as
 * slices; what they mean is the owner's.
 */
#ifndef KH_GATEWAY_PLUG_H
#define KH_GATEWAY_PLUG_H

#include "kernelhost/gateway/loop.h"
#include "protocol/jupyter/wire.h"

#define KH_PLACE_SIZE 256 /* an endpoint's text */

struct kh_plug;

/* While more than this waits for peers a ROUTER takes no requests: who asks and
 * does not read the answers gets no further. */
#define KH_PLUG_PAUSE (32u * 1024 * 1024)

/* What kind of socket it is. */
struct kh_plug_kind {
    int type;           /* ZMQ_ROUTER, ZMQ_XPUB, ZMQ_REP */
    size_t frame_max;   /* bytes of one frame that a peer may send */
    size_t message_max; /* and of a whole message, from a peer that has the key;
                           for XPUB, of all that one peer ever sends */
    int linger_ms;
};

struct kh_plug_events {
    /* A message came by descriptor FD: COUNT frames; when there were more than
     * KH_WIRE_FRAMES_MAX COUNT tells and only so many are there. True: its sender has
     * the key. */
    bool (*message)(struct kh_plug *plug, void *arg, int fd,
                    const struct kh_slice *frames, size_t count);
    /* A peer can be spoken to from now on. */
    void (*joined)(void *arg);
    /* What waits for slow peers has changed. */
    void (*moved)(void *arg);
    /* A peer was cut; WHY says in words why. */
    void (*cut)(void *arg, const char *why);
    void *arg;
};

struct kh_plug *kh_plug_new(struct kh_loop *loop, const struct kh_plug_kind *kind,
                            const struct kh_plug_events *events, struct kh_error *err);
void kh_plug_free(struct kh_plug *plug);

/* Binds to WHERE; RET_PLACE is where that is when a port was left open. Fails with
 * errno values of zmq_bind. kh_plug_unbind takes such a place. */
int kh_plug_bind(struct kh_plug *plug, const char *where, bool v6,
                 char ret_place[KH_PLACE_SIZE], struct kh_error *err);
void kh_plug_unbind(struct kh_plug *plug, const char *place);

/* Sends one message; it is copied. Never waits. POSITION is 0 or the message's. */
int kh_plug_send(struct kh_plug *plug, const struct kh_slice *frames, size_t count,
                 uint64_t position, struct kh_error *err);

/* The connections of it (peers.h), and the position of the newest message sent. */
struct kh_peers *kh_plug_connections(const struct kh_plug *plug);
uint64_t kh_plug_told(const struct kh_plug *plug);
void kh_plug_tell(struct kh_plug *plug, uint64_t position);

/* Bytes that peers have not taken yet, and connected peers. */
size_t kh_plug_waiting(const struct kh_plug *plug);
unsigned kh_plug_peers(const struct kh_plug *plug);

#endif
