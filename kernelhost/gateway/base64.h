/* base64: bytes in JSON (RFC 4648, with padding). Pure. */
#ifndef KH_GATEWAY_BASE64_H
#define KH_GATEWAY_BASE64_H

#include "base/buf.h"
#include "base/error.h"
#include "protocol/link/frame.h"

/* Appends BYTES in base64. */
void kh_base64_add(struct kh_buf *out, struct kh_slice bytes);

/* Appends what TEXT stands for. -EBADMSG for any other character, a length that
 * is no multiple of 4, or bits behind the end; nothing is appended then. */
int kh_base64_decode(struct kh_slice text, struct kh_buf *out, struct kh_error *err);

#endif
