/* conn: the one connection to the gateway: bytes in, frames and entries out.
 *
 * A new connection replaces the old. Frames that arrive are decoded and given to
 * request.h's table; a frame that does not decode, or comes before HELLO, ends
 * the connection and nothing else. Going out, in this order of preference at
 * each frame boundary: answers, events of processes, journal entries of the
 * kernels in turn. What goes out is fetched only as fast as the socket takes it,
 * so a gateway that does not read costs a fixed amount here and otherwise only
 * what journals and windows hold; one that asks without reading is not read.
 */
#ifndef KH_INIT_CONN_H
#define KH_INIT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/link/frame.h"

/* Takes FD, a connected stream, non-blocking. */
void kh_conn_open(int fd);

/* Sends what can be sent; called after each turn of the loop. Output that comes in
 * many pieces may wait until kh_conn_due (KH_NEVER), at most a millisecond. */
void kh_conn_flush(void);
uint64_t kh_conn_due(void);

/* An entry was written into a journal: OUTPUT bytes of what a runner shows, or, with
 * 0, anything else, which is sent at once and all before it. */
void kh_conn_news(size_t output);

/* For the handlers of requests: an answer (a frame that is no journal entry),
 * the journal of KERNEL after SEQ from now on, and the end of the handshake. */
void kh_conn_answer(const struct kh_frame *frame);
void kh_conn_attach(uint32_t kernel, uint64_t seq);
void kh_conn_greeted(void);

/* It is closed when no runner forks any more, which CRIU could not see to its end. */
void kh_conn_part(void);

/* There is one, and it is not to be closed. */
bool kh_conn_stays(void);

#endif
