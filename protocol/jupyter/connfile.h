/* connfile: a Jupyter connection file: where a kernel's five sockets are, and
 * the key that signs its messages.
 *
 * Read for `kernelhost kernel -f FILE` (a KernelManager chose ports and key) and
 * written for `kernelhost connect`. Whoever can read the file owns the kernel,
 * so it is written 0600, complete or not at all, and only after the sockets
 * are bound. A struct of fixed size that owns nothing; it holds the key: wipe
 * it (kh_connfile_wipe) when done.
 */
#ifndef KH_JUPYTER_CONNFILE_H
#define KH_JUPYTER_CONNFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/jupyter/schema.h"
#include "protocol/jupyter/sign.h"
#include "protocol/link/frame.h"

#define KH_CONNFILE_MAX      (64u * 1024)
#define KH_CONNFILE_PATH_MAX 107 /* sun_path without its NUL */
#define KH_ENDPOINT_SIZE     128 /* "ipc://" or "tcp://[...]:65535" and NUL */

struct kh_connfile {
    char transport[8];                 /* "tcp" or "ipc" */
    char ip[KH_CONNFILE_PATH_MAX + 1]; /* ipc: path prefix; tcp: an address, "*"
                                          or "localhost" */
    uint16_t port[KH_CHANNELS];        /* ipc: the number behind "ip-" */
    char key[KH_SIGN_KEY_MAX + 1];
    char signature_scheme[33];
    char kernel_name[129];      /* may be empty */
    char jupyter_session[1025]; /* may be empty */
    char curve_publickey[41];   /* Z85; both or none */
    char curve_secretkey[41];
};

/* Reads and checks the JSON text of a file. Unknown fields are ignored (clients
 * add their own); transport and signature_scheme may be absent (tcp,
 * hmac-sha256). -EBADMSG when it is no JSON object; -EINVAL names the field
 * and what it should be. An empty key is refused. The scheme is checked by
 * kh_signer_new. */
int kh_connfile_parse(struct kh_slice json, struct kh_connfile *ret_file,
                      struct kh_error *err);

/* The same checks for one made from options. */
int kh_connfile_check(const struct kh_connfile *file, struct kh_error *err);

/* Reads the file at PATH (relative to DIRFD). */
int kh_connfile_read(int dirfd, const char *path, struct kh_connfile *ret_file,
                     struct kh_error *err);

/* Appends the file as JSON text. */
void kh_connfile_format(const struct kh_connfile *file, struct kh_buf *out);

/* Writes the file at PATH: 0600, by rename. */
int kh_connfile_write(const struct kh_connfile *file, int dirfd, const char *path,
                      struct kh_error *err);

/* The ZeroMQ endpoint of a channel: "tcp://127.0.0.1:5555", "tcp://[::1]:5555",
 * "ipc:///run/kernel-1". -ENAMETOOLONG for a socket path over 107 bytes, with
 * the path in the text. */
int kh_connfile_endpoint(const struct kh_connfile *file, enum kh_channel channel,
                         char ret_endpoint[KH_ENDPOINT_SIZE], struct kh_error *err);

bool kh_connfile_is_ipc(const struct kh_connfile *file);

/* True when only this machine can reach the sockets: ipc, or a loopback
 * address. */
bool kh_connfile_is_local(const struct kh_connfile *file);

/* A fresh 256-bit key in hexadecimal. */
void kh_connfile_new_key(struct kh_connfile *file);

/* Overwrites the struct so that the compiler cannot leave the key behind. */
void kh_connfile_wipe(struct kh_connfile *file);

#endif
