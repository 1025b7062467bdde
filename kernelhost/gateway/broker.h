/* broker: the gateway's side of protocol/link/broker.h.
 *
 * Requests are answered in any order; each caller gets its own callback. Every
 * message from kernelhostd is checked all the same: one that is malformed ends
 * the link, and so the gateway, because nothing can be done without it.
 */
#ifndef KH_GATEWAY_BROKER_H
#define KH_GATEWAY_BROKER_H

#include "kernelhost/gateway/loop.h"
#include "protocol/link/broker.h"

struct kh_broker;

#define KH_BROKER_PENDING_MAX 4096u /* requests without an answer */

/* The answer: REPLY->error.code is 0 on success. *FD is a passed descriptor or
 * -1; the callee takes it with STEAL_FD, else it is closed. */
typedef void kh_broker_fn(void *arg, const struct kh_broker_reply *reply, int *fd);

struct kh_broker_events {
    /* The PID 1 of a sandbox ended. */
    void (*exited)(void *arg, const struct kh_broker_reply *reply);
    /* The link is gone; WHY says how. No more callbacks come. */
    void (*closed)(void *arg, const struct kh_error *why);
    void *arg;
};

/* Takes FD. Says HELLO at once; a refused HELLO closes the link. */
struct kh_broker *kh_broker_new(struct kh_loop *loop, int fd,
                                const struct kh_broker_events *events,
                                struct kh_error *err);
void kh_broker_free(struct kh_broker *broker);

/* Closes the link; whatever waits is answered with ENOTCONN now. */
void kh_broker_close(struct kh_broker *broker);

/* Sends *REQUEST, whose magic and serial are filled in here. FN is called once,
 * unless kh_broker_forget comes first; from inside this call only when the link is
 * closed. */
void kh_broker_call(struct kh_broker *broker, const struct kh_broker_request *request,
                    kh_broker_fn *fn, void *arg);

/* Short form for the requests that only name a sandbox. */
void kh_broker_call_name(struct kh_broker *broker, enum kh_broker_type type,
                         const char *name, kh_broker_fn *fn, void *arg);

/* The answers to all requests made with ARG are dropped from now on. */
void kh_broker_forget(struct kh_broker *broker, const void *arg);

#endif
