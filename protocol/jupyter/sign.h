/* sign: the HMAC that says a Jupyter message was made by a holder of the key.
 *
 * A struct kh_signer is one key and one scheme ("hmac-sha256"), prepared once
 * for each kernel. It signs the raw bytes of the four JSON frames in their
 * order, as lower-case hexadecimal. Buffers are not signed: that is the
 * protocol. The gateway owns it; the key is wiped when it is freed and is never
 * logged. One thread at a time.
 */
#ifndef KH_JUPYTER_SIGN_H
#define KH_JUPYTER_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clean.h"
#include "base/error.h"
#include "protocol/link/frame.h"

#define KH_SIGN_SCHEME  "hmac-sha256"
#define KH_SIGN_SIZE    129 /* longest hexadecimal signature and its NUL */
#define KH_SIGN_KEY_MAX 256 /* bytes of a key */
#define KH_SIGN_SCHEMES                                                                \
    "hmac-sha256, -sha512, -sha384, -sha224, -sha1, -md5, "                            \
    "-sha3_256, -sha3_512"

struct kh_signer;

/* Prepares SCHEME (NULL or "": KH_SIGN_SCHEME) with KEY. -EINVAL for a scheme
 * that is not in the list above, a key over KH_SIGN_KEY_MAX, or an empty key,
 * which would switch every check off (see kh_signer_new_open). */
int kh_signer_new(const char *scheme, struct kh_slice key,
                  struct kh_signer **ret_signer, struct kh_error *err);

/* A signer without a key: signatures are empty and everything verifies. Only
 * for somebody who asked for that in so many words. */
struct kh_signer *kh_signer_new_open(void);

void kh_signer_free(struct kh_signer *signer);
KH_DEFINE_CLEANUP(kh_signer)

/* True for kh_signer_new_open. */
bool kh_signer_is_open(const struct kh_signer *signer);

/* Writes the signature of header, parent_header, metadata and content. */
void kh_signer_sign(struct kh_signer *signer, const struct kh_slice json[4],
                    char ret_signature[KH_SIGN_SIZE]);

/* Compares in constant time. Upper-case or truncated hexadecimal is wrong. */
bool kh_signer_verify(struct kh_signer *signer, const struct kh_slice json[4],
                      struct kh_slice signature);

#endif
