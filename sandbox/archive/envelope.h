/* envelope: bytes that whoever reads them can trust, or does not get.
 *
 * A head of 64 bytes, then blocks of at most KH_ENVELOPE_BLOCK bytes, each with its
 * length, whether it is the last, and an HMAC-SHA256 over that, its number and its
 * bytes; the key of those is made of the host's and the head. So nothing of a file is
 * handed out that was changed, moved, left out, or taken from another file, and a file
 * that is cut short has no last block. doc/PROTOCOL.archive has every byte.
 *
 * Reading needs no seeking, and memory for one block. A child that is forked does not
 * get the keys, nor does a core file. A signal that asks to stop (progress.h) ends what
 * waits for the other end of a pipe: -EINTR.
 */
#ifndef KH_ARCHIVE_ENVELOPE_H
#define KH_ARCHIVE_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/clean.h"
#include "base/error.h"

#define KH_ENVELOPE_BLOCK 65536u
#define KH_ENVELOPE_HEAD  64u
#define KH_ENVELOPE_KEY   32u

struct kh_envelope;

/* Begins to write to FD (borrowed), under KEY (KH_ENVELOPE_KEY bytes), which is not
 * needed any more then. */
int kh_envelope_begin(int fd, const uint8_t *key, struct kh_envelope **ret_envelope,
                      struct kh_error *err);
int kh_envelope_put(struct kh_envelope *envelope, const void *data, size_t size,
                    struct kh_error *err);

/* Writes what is left, and that it was all. */
int kh_envelope_end(struct kh_envelope *envelope, struct kh_error *err);

/* Begins to read from FD (borrowed). -EKEYREJECTED when it was made under another key,
 * -EPROTO when it has another version, -EBADMSG when it is no envelope. */
int kh_envelope_open(int fd, const uint8_t *key, struct kh_envelope **ret_envelope,
                     struct kh_error *err);

/* The next bytes, valid until the next call. 1, 0 at the end of all of them; -EBADMSG
 * when they are not what was written. */
int kh_envelope_get(struct kh_envelope *envelope, const void **ret_data,
                    size_t *ret_size, struct kh_error *err);

void kh_envelope_free(struct kh_envelope *envelope);
KH_DEFINE_CLEANUP(kh_envelope)

#endif
