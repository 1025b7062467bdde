/* position: how far into a kernel's journal a message reaches.
 *
 * One number that rises with every message made from the journal: the entry's
 * sequence number and a part of it. For printed text the part is how many of the
 * entry's bytes have been said, for everything else the count of messages it led to.
 * A message whose position is P has been said to a client when anything at P or
 * behind it has. It is the number at the end of msg_id and the cursor of the HTTP
 * API. 0 is before everything, and the position of messages that no entry led to.
 */
#ifndef KH_GATEWAY_POSITION_H
#define KH_GATEWAY_POSITION_H

#include <stdint.h>

/* An entry is smaller than KH_FRAME_MAX, 2 to the power of this. */
#define KH_POSITION_BITS 26
#define KH_POSITION_END  UINT64_MAX /* behind everything */

static inline uint64_t
kh_position(uint64_t seq, uint64_t part)
{
    return seq << KH_POSITION_BITS | part;
}

static inline uint64_t
kh_position_seq(uint64_t position)
{
    return position >> KH_POSITION_BITS;
}

static inline uint64_t
kh_position_part(uint64_t position)
{
    return position & ((1u << KH_POSITION_BITS) - 1);
}

#endif
