/* replay: the signatures that were seen, so that no message is taken twice.
 *
 * One a kernel, for all its channels: they share the key. First in, first out,
 * so it is known what it holds: the newest KH_REPLAY_MAX signatures. An entry
 * is a 64-bit tag of the signature under a random key of its own (a client
 * that chooses its messages cannot make tags collide), 16 bytes with its place
 * in the index; both grow on demand from 1 KiB to 16 MiB after a million
 * messages. Only verified signatures belong here.
 */
#ifndef KH_JUPYTER_REPLAY_H
#define KH_JUPYTER_REPLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clean.h"
#include "protocol/link/frame.h"

#define KH_REPLAY_MAX (1u << 20)

struct kh_replay;

/* A window of the newest MAX signatures (a power of two from 64 to
 * KH_REPLAY_MAX; anything else aborts: it is a constant of the caller). */
struct kh_replay *kh_replay_new(size_t max);
void kh_replay_free(struct kh_replay *replay);
KH_DEFINE_CLEANUP(kh_replay)

/* Notes a signature. Returns true when it is new, false when it is a replay. */
bool kh_replay_note(struct kh_replay *replay, struct kh_slice signature);

#endif
