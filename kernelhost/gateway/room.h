/* room: descriptors that the gateway keeps for itself.
 *
 * libzmq aborts where a socket cannot have the descriptors it needs, and a gateway
 * without any can neither accept a client nor take a sandbox's stream. So what would
 * take many asks here first, while there is room for everything else.
 */
#ifndef KH_GATEWAY_ROOM_H
#define KH_GATEWAY_ROOM_H

#include "base/error.h"

/* What stays free for clients of the API, and for those of ZeroMQ. */
#define KH_ROOM_KEEP 1536u

/* What the five endpoints of a kernel may take. */
#define KH_ROOM_ENDPOINTS 24u

/* -EMFILE when COUNT more descriptors would leave less than KH_ROOM_KEEP (less where
 * the limit is low), with the figures and the cure. */
int kh_room_need(unsigned count, struct kh_error *err);

#endif
