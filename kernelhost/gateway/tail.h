/* tail: the last bytes that went, or are about to go, to all subscribers of a kernel.
 *
 * Every subscriber's connection carries the same messages, byte for byte, but not at
 * the same time: when the process is killed between two writes, one has a message that
 * another has not, or only half of it. With the tail, the keeper (keeper.h) gives them
 * all the same. It lies in memory that both share, is written before each call of
 * send(), and is right at any instant. Pure.
 */
#ifndef KH_GATEWAY_TAIL_H
#define KH_GATEWAY_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernelhost/gateway/zmtp.h"

#define KH_TAIL_BYTES (256u * 1024)
#define KH_TAIL_PIECE (16u * 1024) /* is being overwritten, and not to be read */
#define KH_TAIL_MARKS 512u

struct kh_tail {
    uint64_t size; /* bytes added since the beginning; the last ones are here */
    uint64_t marks;
    struct kh_tail_mark {
        uint64_t position; /* of a message */
        uint64_t end;      /* where it ends, counted like `size` */
    } mark[KH_TAIL_MARKS];
    char bytes[KH_TAIL_BYTES];
};

/* Begins anew: the next byte is the one behind the message at POSITION. */
void kh_tail_begin(struct kh_tail *tail, uint64_t position);

/* Where the message at POSITION ends; false when it is not in the tail. kh_tail_ahead:
 * because it is newer than all that are. */
bool kh_tail_find(const struct kh_tail *tail, uint64_t position, uint64_t *ret_end);
bool kh_tail_ahead(const struct kh_tail *tail, uint64_t position);

/* SIZE bytes that belong at AT, with the messages that end in them; what is there
 * already is passed over. */
void kh_tail_add(struct kh_tail *tail, uint64_t at, const void *data, size_t size,
                 const struct kh_zmtp_end *ends, size_t count);

/* The bytes from FROM up to TO, as many as lie in one piece: returns how many and
 * where; 0 when they are not there (any more). */
size_t kh_tail_read(const struct kh_tail *tail, uint64_t from, uint64_t to,
                    const char **ret_data);

#endif
