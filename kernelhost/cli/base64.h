/* base64: RFC 4648 text for bytes in JSON. Pure. */
#ifndef KH_CLI_BASE64_H
#define KH_CLI_BASE64_H

#include <stddef.h>

#include "base/buf.h"

/* Appends SIZE bytes as base64 with padding. */
void kh_base64_encode(struct kh_buf *out, const void *p, size_t size);

/* Appends the bytes of a text. Newlines are skipped (MIME data has them).
 * Returns 0, or -EBADMSG (what was appended is to be thrown away). */
int kh_base64_decode(struct kh_buf *out, const char *text, size_t size);

#endif
