/* request: what the gateway may ask of init: one table row a frame type. */
#ifndef KH_INIT_REQUEST_H
#define KH_INIT_REQUEST_H

#include "protocol/link/frame.h"

/* Checks a frame of the gateway and does what it asks. What cannot be done is
 * answered by REFUSED. -EBADMSG when no gateway sends such a frame: the caller
 * ends the connection. */
int kh_request_handle(const struct kh_frame *frame);

#endif
