#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "kernelhost/gateway/launch.h"

#define PREFIX "launch-"
#define DIGITS 16

/* The name of a connection's sandbox: a digest, so that a gateway that comes after
 * this one knows whose it is. */
void
kh_launch_name(const struct kh_connfile *file, char ret_name[KH_NAME_SIZE])
{
    struct kh_connfile bare = *file;
    struct kh_buf text = KH_BUF_INIT;
    unsigned char digest[EVP_MAX_MD_SIZE];
    int i;

    bare.kernel_name[0] = bare.jupyter_session[0] = '\0';
    kh_connfile_format(&bare, &text);
    kh_connfile_wipe(&bare);
    if (EVP_Digest(kh_buf_ptr(&text), kh_buf_len(&text), digest, NULL, EVP_sha256(),
                   NULL) != 1)
        abort(); /* only ENOMEM */
    explicit_bzero(kh_buf_ptr(&text), kh_buf_len(&text));
    kh_buf_release(&text);
    snprintf(ret_name, KH_NAME_SIZE, "%s", PREFIX);
    for (i = 0; i < DIGITS / 2; i++)
        snprintf(ret_name + strlen(PREFIX) + 2 * (size_t)i, 3, "%02x", digest[i]);
}

bool
kh_launch_owns(const char *name)
{
    const char *digits = name + strlen(PREFIX);

    return !strncmp(name, PREFIX, strlen(PREFIX)) &&
           strspn(digits, "0123456789abcdef") == DIGITS && !digits[DIGITS];
}
