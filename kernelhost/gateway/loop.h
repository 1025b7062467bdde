/* loop: the one event loop of kernelhost-gateway.
 *
 * The only module that knows libuv together with libzmq. Everything else asks
 * it for timers, descriptor watches, ZeroMQ watches and signals. All of it runs
 * in one thread. Handles are made with _new and ended with _close, which stops
 * them at once (the callback is not called again) and frees them later, from
 * libuv's close callback; closing NULL does nothing.
 */
#ifndef KH_GATEWAY_LOOP_H
#define KH_GATEWAY_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct kh_loop;
struct kh_timer;
struct kh_watch;
struct kh_zwatch;
struct kh_signal;

/* A fresh loop; aborts when the kernel gives no epoll descriptor. */
struct kh_loop *kh_loop_new(void);

/* Runs until kh_loop_stop. */
void kh_loop_run(struct kh_loop *loop);
void kh_loop_stop(struct kh_loop *loop);

/* Lets pending close callbacks run and frees the loop. Every handle must have
 * been closed: asserts uv_loop_close() == 0. */
void kh_loop_free(struct kh_loop *loop);

/* One thing that belongs to the loop (see monitor.h): END is called with it when the
 * loop is freed. NULL until it is set. */
void *kh_loop_part(const struct kh_loop *loop);
void kh_loop_set_part(struct kh_loop *loop, void *part, void (*end)(void *part));

/* Monotonic milliseconds, as of the start of this turn of the loop. */
uint64_t kh_loop_now(struct kh_loop *loop);

/* Timers. start with REPEAT 0 fires once; starting again re-arms. A delay of 0
 * fires in the next turn and serves as "later". */
struct kh_timer *kh_timer_new(struct kh_loop *loop, void (*fn)(void *arg), void *arg);
void kh_timer_start(struct kh_timer *timer, uint64_t delay_ms, uint64_t repeat_ms);
void kh_timer_stop(struct kh_timer *timer);
bool kh_timer_active(const struct kh_timer *timer);
void kh_timer_close(struct kh_timer *timer);

/* Descriptor watches, level-triggered. The descriptor stays the caller's and
 * must be open until kh_watch_close. Made with no events wanted. */
#define KH_WATCH_READ   1u
#define KH_WATCH_WRITE  2u
#define KH_WATCH_HANGUP 4u /* the peer has closed or shut down its side */

struct kh_watch *kh_watch_new(struct kh_loop *loop, int fd,
                              void (*fn)(void *arg, unsigned events), void *arg,
                              struct kh_error *err);
void kh_watch_set(struct kh_watch *watch, unsigned events);
void kh_watch_close(struct kh_watch *watch);

/* ZeroMQ watches. ZMQ_FD is edge-triggered and any call on the socket may eat
 * the edge, so the watch reads ZMQ_EVENTS itself: FN is called once for each
 * message that can be received and has to receive exactly one. Whoever sends
 * on the socket calls kh_zwatch_kick afterwards. A paused watch leaves messages
 * in the socket. Close it before the socket is destroyed. */
struct kh_zwatch *kh_zwatch_new(struct kh_loop *loop, void *socket,
                                void (*fn)(void *arg), void *arg, struct kh_error *err);
void kh_zwatch_kick(struct kh_zwatch *watch);
void kh_zwatch_pause(struct kh_zwatch *watch, bool paused);
void kh_zwatch_close(struct kh_zwatch *watch);

/* Calls FN in the loop when the process gets SIGNUM. */
struct kh_signal *kh_signal_new(struct kh_loop *loop, int signum, void (*fn)(void *arg),
                                void *arg);
void kh_signal_close(struct kh_signal *signal);

#endif
