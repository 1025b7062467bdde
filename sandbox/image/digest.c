#include "sandbox/image/digest.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/mem.h"

struct kh_digest {
    EVP_MD_CTX *context;
};

struct kh_digest *
kh_digest_new(void)
{
    struct kh_digest *digest = kh_xcalloc(1, sizeof(*digest));

    digest->context = EVP_MD_CTX_new();
    if (!digest->context || EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1)
        abort();
    return digest;
}

void
kh_digest_free(struct kh_digest *digest)
{
    if (!digest)
        return;
    EVP_MD_CTX_free(digest->context);
    free(digest);
}

void
kh_digest_add(struct kh_digest *digest, const void *p, size_t size)
{
    if (EVP_DigestUpdate(digest->context, p, size) != 1)
        abort();
}

void
kh_digest_text(struct kh_digest *digest, char out[KH_DIGEST_TEXT])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    size_t i;

    if (EVP_DigestFinal_ex(digest->context, sum, NULL) != 1)
        abort();
    snprintf(out, KH_DIGEST_TEXT, "sha256:");
    for (i = 0; i < 32; i++)
        snprintf(out + 7 + 2 * i, 3, "%02x", sum[i]);
}
