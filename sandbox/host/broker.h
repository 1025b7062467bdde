/* broker: kernelhostd's side of protocol/link/broker.h.
 *
 * A table says which request is allowed in which phase and who serves it, after
 * the monitor of OpenSSH. A request that is malformed or out of phase ends the
 * gateway: it is never repaired. Replies that do not fit into the socket wait in
 * a bounded queue; a gateway that does not read them is ended as well.
 */
#ifndef KH_HOST_BROKER_H
#define KH_HOST_BROKER_H

#include "sandbox/host/box.h"
#include "sandbox/host/host.h"

#define KH_BROKER_QUEUE_MAX 65536 /* replies */

enum kh_broker_phase {
    KH_BROKER_NEW = 1,   /* nothing but HELLO */
    KH_BROKER_READY = 2, /* everything else */
};

struct kh_broker {
    struct kh_host *host;
    int sock; /* borrowed from the gateway */
    enum kh_broker_phase phase;
    uint64_t generation; /* of gateways: answers to an earlier one are dropped */
    struct kh_broker_reply *queue; /* ring of replies that wait */
    unsigned first, count, size;
};

/* Begins to serve a new gateway on SOCK (phase NEW, nothing queued). */
void kh_broker_reset(struct kh_broker *broker, struct kh_host *host, int sock);
void kh_broker_release(struct kh_broker *broker);

/* Serves what can be read now. Returns 0, or -errno when the gateway must be
 * ended (-EPIPE: it closed its end). */
int kh_broker_serve(struct kh_broker *broker, struct kh_error *err);

/* Sends what waits; poll for POLLOUT while kh_broker_waits. */
int kh_broker_flush(struct kh_broker *broker, struct kh_error *err);
static inline bool
kh_broker_waits(const struct kh_broker *broker)
{
    return broker->count > 0;
}

/* Tells the gateway how a box that it asked to stop, or that ended by itself,
 * came to its end. ERR has code 0 when all went well. */
int kh_broker_box_done(struct kh_broker *broker, struct kh_box *box, int status,
                       const struct kh_error *failed, struct kh_error *err);

#endif
