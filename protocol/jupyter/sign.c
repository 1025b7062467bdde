#include "protocol/jupyter/sign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/mem.h"

#define DIGEST_MAX ((KH_SIGN_SIZE - 1) / 2)

struct kh_signer {
    EVP_MAC_CTX *ctx; /* NULL: open */
    size_t size;      /* bytes of a digest */
};

/* The names after "hmac-" are Python's hashlib's, as clients write them. */
static const struct scheme {
    const char *name;
    const char *digest; /* OpenSSL's name */
    size_t size;
} schemes[] = {
    {"hmac-sha256", "SHA2-256", 32},   {"hmac-sha512", "SHA2-512", 64},
    {"hmac-sha384", "SHA2-384", 48},   {"hmac-sha224", "SHA2-224", 28},
    {"hmac-sha1", "SHA1", 20},         {"hmac-md5", "MD5", 16},
    {"hmac-sha3_256", "SHA3-256", 32}, {"hmac-sha3_512", "SHA3-512", 64},
};

static const struct scheme *
find_scheme(const char *name)
{
    size_t i;

    if (!name || !*name)
        name = KH_SIGN_SCHEME;
    for (i = 0; i < KH_COUNT(schemes); i++)
        if (!strcmp(schemes[i].name, name))
            return &schemes[i];
    return NULL;
}

static EVP_MAC_CTX *
new_context(const char *digest, struct kh_slice key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);

    EVP_MAC_free(mac);
    if (ctx && EVP_MAC_init(ctx, key.data, key.size, params))
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

int
kh_signer_new(const char *name, struct kh_slice key, struct kh_signer **ret_signer,
              struct kh_error *err)
{
    const struct scheme *scheme = find_scheme(name);
    EVP_MAC_CTX *ctx;

    if (!scheme)
        return kh_fail(err, EINVAL,
                       "signature scheme '%.40s' is not known (hint: one of %s)", name,
                       KH_SIGN_SCHEMES);
    if (!key.size)
        return kh_fail(err, EINVAL,
                       "an empty key would let anybody in (hint: 'key' "
                       "must be a secret of at least one character)");
    if (key.size > KH_SIGN_KEY_MAX)
        return kh_fail(err, EINVAL, "key of %zu bytes is too long (at most %d)",
                       key.size, KH_SIGN_KEY_MAX);
    ctx = new_context(scheme->digest, key);
    if (!ctx)
        return kh_fail(err, ENOTSUP, "OpenSSL here does not offer '%s' (hint: use %s)",
                       scheme->name, KH_SIGN_SCHEME);
    *ret_signer = kh_signer_new_open();
    (*ret_signer)->ctx = ctx;
    (*ret_signer)->size = scheme->size;
    return 0;
}

struct kh_signer *
kh_signer_new_open(void)
{
    return kh_xcalloc(1, sizeof(struct kh_signer));
}

void
kh_signer_free(struct kh_signer *signer)
{
    if (!signer)
        return;
    EVP_MAC_CTX_free(signer->ctx); /* wipes the key */
    free(signer);
}

bool
kh_signer_is_open(const struct kh_signer *signer)
{
    return !signer->ctx;
}

void
kh_signer_sign(struct kh_signer *signer, const struct kh_slice json[4],
               char ret_signature[KH_SIGN_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[DIGEST_MAX];
    size_t i, size = 0;
    int good;

    ret_signature[0] = '\0';
    if (!signer->ctx)
        return;
    good = EVP_MAC_init(signer->ctx, NULL, 0, NULL);
    for (i = 0; i < 4 && good; i++)
        good = EVP_MAC_update(signer->ctx, json[i].data, json[i].size);
    /* Only out of memory can make this fail; an unsigned message must not go. */
    if (!good || !EVP_MAC_final(signer->ctx, digest, &size, sizeof(digest)) ||
        size != signer->size)
        abort();
    for (i = 0; i < size; i++) {
        ret_signature[2 * i] = digits[digest[i] >> 4];
        ret_signature[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_signature[2 * size] = '\0';
}

bool
kh_signer_verify(struct kh_signer *signer, const struct kh_slice json[4],
                 struct kh_slice signature)
{
    char right[KH_SIGN_SIZE];

    if (!signer->ctx)
        return true;
    if (signature.size != 2 * signer->size)
        return false;
    kh_signer_sign(signer, json, right);
    return CRYPTO_memcmp(right, signature.data, signature.size) == 0;
}
