#include "protocol/jupyter/sign.h"

#include <ctype.h>
#include <errno.h>

#include "tests/tap.h"

/* RFC 4231 cases 1 and 2, RFC 2202 for MD5 and SHA-1 (case 2), Python's hmac for
 * SHA-3; the message is cut into four frames, which must not matter. */
static const struct {
    const char *scheme, *key, *parts[4], *signature;
} vectors[] = {
    {"hmac-sha256",
     "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b",
     {"Hi", " ", "", "There"},
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"hmac-sha256",
     "Jefe",
     {"what do", " ya want ", "for ", "nothing?"},
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"hmac-sha224",
     "Jefe",
     {"what do ya want for nothing?", "", "", ""},
     "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"},
    {"hmac-sha384",
     "Jefe",
     {"", "what do ya want for nothing?", "", ""},
     "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
     "8e2240ca5e69e2c78b3239ecfab21649"},
    {"hmac-sha512",
     "Jefe",
     {"", "", "", "what do ya want for nothing?"},
     "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
     "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
    {"hmac-md5",
     "Jefe",
     {"what do ya want ", "for nothing", "?", ""},
     "750c783e6ab0b503eaa86e310a5db738"},
    {"hmac-sha1",
     "Jefe",
     {"what do ya want ", "for nothing", "?", ""},
     "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
    {"hmac-sha3_256",
     "Jefe",
     {"what do ya want ", "for nothing", "", "?"},
     "c7d4072e788877ae3596bbb0da73b887c9171f93095b294ae857fbe2645e1ba5"},
    {"hmac-sha3_512",
     "Jefe",
     {"what do ya want ", "for nothing", "", "?"},
     "5a4bfeab6166427c7a3647b747292b8384537cdb89afb3bf5665e4c5e709350b"
     "287baec921fd7ca0ee7a0c31d022a95e1fc92ba9d77df883960275beb4e62024"},
};

static void
fill(struct kh_slice json[4], const char *const parts[4])
{
    int i;

    for (i = 0; i < 4; i++)
        json[i] = kh_slice_text(parts[i]);
}

static void
known_answers(void)
{
    size_t i;

    for (i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
        AUTO(kh_signer) struct kh_signer *signer = NULL;
        struct kh_slice json[4];
        char signature[KH_SIGN_SIZE] = "";

        fill(json, vectors[i].parts);
        is_int(kh_signer_new(vectors[i].scheme, kh_slice_text(vectors[i].key), &signer,
                             NULL),
               0, "%s is known", vectors[i].scheme);
        kh_signer_sign(signer, json, signature);
        is_str(signature, vectors[i].signature, "its signature %zu is right", i);
        kh_signer_sign(signer, json, signature);
        is_str(signature, vectors[i].signature, "and again with the same signer");
        ok(kh_signer_verify(signer, json, kh_slice_text(vectors[i].signature)),
           "and verifies");
    }
}

/* Every one-character change, cut and extension of a signature is wrong. */
static void
forgeries(void)
{
    AUTO(kh_signer) struct kh_signer *signer = NULL;
    const char *right = vectors[1].signature;
    struct kh_slice json[4];
    char text[KH_SIGN_SIZE + 2];
    int accepted = 0;
    size_t i;

    fill(json, vectors[1].parts);
    kh_signer_new(NULL, kh_slice_text("Jefe"), &signer, NULL);
    ok(kh_signer_verify(signer, json, kh_slice_text(right)), "sha256 is the default");
    for (i = 0; i < 64; i++) {
        strcpy(text, right);
        text[i] = text[i] == '0' ? '1' : '0';
        accepted += kh_signer_verify(signer, json, kh_slice_text(text));
        accepted += kh_signer_verify(signer, json, (struct kh_slice){right, i});
    }
    strcpy(text, right);
    strcat(text, "0");
    accepted += kh_signer_verify(signer, json, kh_slice_text(text));
    for (i = 0; i < 64; i++)
        text[i] = (char)toupper(right[i]);
    text[64] = '\0';
    accepted += kh_signer_verify(signer, json, kh_slice_text(text));
    accepted += kh_signer_verify(signer, json, kh_slice_text(vectors[4].signature));
    json[0] = kh_slice_text("what dO");
    accepted += kh_signer_verify(signer, json, kh_slice_text(right));
    is_int(accepted, 0, "changed, cut, longer, upper-case, of another scheme: wrong");
}

static void
refusals(void)
{
    AUTO(kh_signer) struct kh_signer *open = kh_signer_new_open();
    static const char *const unknown[] = {"sha256",       "hmac-",
                                          "hmac-none",    "HMAC-SHA256",
                                          "hmac-sha256 ", "hmac-shake_128"};
    struct kh_signer *signer = NULL;
    char key[KH_SIGN_KEY_MAX + 1] = {0}, signature[KH_SIGN_SIZE] = "x";
    struct kh_slice json[4] = {{"{}", 2}, {"{}", 2}, {"{}", 2}, {"{}", 2}};
    struct kh_error err;
    size_t i;

    for (i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
        is_int(kh_signer_new(unknown[i], kh_slice_text("k"), &signer, &err), -EINVAL,
               "scheme '%s' is refused", unknown[i]);
    ok(strstr(err.text, "hmac-sha256"), "the text lists what there is");
    is_int(kh_signer_new(NULL, kh_slice_text(""), &signer, &err), -EINVAL,
           "an empty key is refused");
    is_int(kh_signer_new(NULL, (struct kh_slice){key, sizeof(key)}, &signer, &err),
           -EINVAL, "a key over the limit is refused");
    ok(!signer, "nothing was made");
    ok(kh_signer_is_open(open) && kh_signer_verify(open, json, kh_slice_text("")),
       "only an open signer takes what is not signed");
    kh_signer_sign(open, json, signature);
    is_str(signature, "", "and does not sign");
}

int
main(void)
{
    known_answers();
    forgeries();
    refusals();
    return done();
}
