/* digest: SHA-256 over a run of bytes, as OCI writes it. */
#ifndef KH_IMAGE_DIGEST_H
#define KH_IMAGE_DIGEST_H

#include <stddef.h>

#include "base/clean.h"

#define KH_DIGEST_TEXT 72 /* "sha256:", 64 lower-case hex digits, NUL */

struct kh_digest;

/* Aborts when libcrypto has no SHA-256. */
struct kh_digest *kh_digest_new(void);
void kh_digest_free(struct kh_digest *digest);
KH_DEFINE_CLEANUP(kh_digest)

void kh_digest_add(struct kh_digest *digest, const void *p, size_t size);

/* Ends it; nothing can be added any more. */
void kh_digest_text(struct kh_digest *digest, char out[KH_DIGEST_TEXT]);

#endif
