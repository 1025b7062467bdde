/* tally: how many bytes of our messages libzmq still holds.
 *
 * libzmq does not tell how long its queues are. But it frees a message only when
 * the last peer's connection has taken it, so a message made here counts itself
 * in when it is made and out when it is freed, which is exact. Frees happen in
 * libzmq's I/O threads, hence atomics; the tally lives until the last message.
 */
#ifndef KH_GATEWAY_TALLY_H
#define KH_GATEWAY_TALLY_H

#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

struct kh_tally;

struct kh_tally *kh_tally_new(void);

/* Drops the owner's hold; messages still in flight keep it alive. */
void kh_tally_unref(struct kh_tally *tally);

/* Bytes held now, and bytes freed since the start. */
size_t kh_tally_held(const struct kh_tally *tally);
uint64_t kh_tally_freed(const struct kh_tally *tally);

/* Initialises *MSG with a copy of SIZE bytes at P; it weighs WEIGHT. */
void kh_tally_message(struct kh_tally *tally, zmq_msg_t *msg, const void *p,
                      size_t size, size_t weight);

#endif
