/* key: the secret under which a host makes archives, STATE/snapshot.key (0600).
 *
 * 64 hexadecimal digits and a newline, made when it is needed first. Whoever has a copy
 * can make archives that this host believes.
 */
#ifndef KH_ARCHIVE_KEY_H
#define KH_ARCHIVE_KEY_H

#include "sandbox/archive/envelope.h"

#define KH_KEY_FILE "snapshot.key"

/* The key of the state directory STATE; makes it. */
int kh_key_own(int state, uint8_t ret_key[KH_ENVELOPE_KEY], struct kh_error *err);

/* The one in the file PATH, which nobody but root and its owner may read. */
int kh_key_read(int dir, const char *path, uint8_t ret_key[KH_ENVELOPE_KEY],
                struct kh_error *err);

#endif
