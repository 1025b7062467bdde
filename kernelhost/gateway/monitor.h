/* monitor: tells what happens to the connections of ZeroMQ sockets.
 *
 * libzmq reports it through a socket of its own for each socket that is watched; one
 * reader a loop connects to all of them, so that a watched socket costs one descriptor
 * more and not two. Belongs to the loop, in whose thread everything happens.
 */
#ifndef KH_GATEWAY_MONITOR_H
#define KH_GATEWAY_MONITOR_H

#include "kernelhost/gateway/loop.h"

struct kh_monitor;

/* The monitor of LOOP, made when it is first asked for; it ends with the loop. */
struct kh_monitor *kh_monitor_of(struct kh_loop *loop, struct kh_error *err);

/* From now on FN hears of EVENTS (ZMQ_EVENT_..., or'ed) of SOCKET, with libzmq's value
 * (a descriptor). Returns 0 and a key for kh_monitor_leave. */
int kh_monitor_watch(struct kh_monitor *monitor, void *socket, int events,
                     void (*fn)(void *arg, unsigned event, int value), void *arg,
                     uint64_t *ret_key, struct kh_error *err);

/* Before SOCKET is closed. A key of 0 does nothing. */
void kh_monitor_leave(struct kh_monitor *monitor, void *socket, uint64_t key);

/* Tells one event that has been reported already; false when there is none. */
bool kh_monitor_next(struct kh_monitor *monitor);

#endif
