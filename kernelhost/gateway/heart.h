/* heart: the heartbeat channels of all kernels, in a thread of their own.
 *
 * A client takes a kernel for dead when its ping is not echoed within a second,
 * so the echo must not wait for the loop, a large message or a busy sandbox. One
 * thread owns the REP socket of every kernel; the loop's thread sends it
 * commands over an inproc pair and waits for the answer (microseconds).
 */
#ifndef KH_GATEWAY_HEART_H
#define KH_GATEWAY_HEART_H

#include <stdint.h>

#include "base/error.h"
#include "kernelhost/gateway/plug.h"

struct kh_heart;

struct kh_heart *kh_heart_new(struct kh_error *err);
void kh_heart_free(struct kh_heart *heart);

/* Makes a heartbeat bound to WHERE, or binds one that is there (KEY not 0) to a
 * further place. Returns 0 with its key and, in RET_PLACE, where it is bound (a port
 * of 0 or * has been chosen). */
int kh_heart_bind(struct kh_heart *heart, uint64_t key, const char *where, bool v6,
                  uint64_t *ret_key, char ret_place[KH_PLACE_SIZE],
                  struct kh_error *err);

/* Ends it: its clients hear nothing from now on. KEY 0 does nothing. */
void kh_heart_stop(struct kh_heart *heart, uint64_t key);

#endif
