/* journal: everything one kernel said, numbered, until it is acknowledged.
 *
 * Owned by a kernel slot of kernelhost-init. Entries are kept as the encoded
 * frames that go to the gateway, so that sending again after a reconnect is
 * sending the same bytes. Numbers rise by one and are never used again while
 * init lives. The journal itself refuses nothing: whoever feeds it looks at
 * kh_journal_full first and stops reading its own source. Pure: no I/O.
 */
#ifndef KH_INIT_JOURNAL_H
#define KH_INIT_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/link/frame.h"

/* What one entry costs beside its bytes; counted, so that a flood of empty
 * frames is bounded by memory as well. */
#define KH_JOURNAL_OVERHEAD 64

struct kh_entry {
    unsigned refs; /* the journal's, and the connection's while it is sent */
    uint64_t seq;
    struct kh_buf frame;
};

struct kh_journal {
    struct kh_entry **ring; /* entries held, oldest at head */
    size_t size;            /* of the ring; a power of two, or 0 */
    size_t head;
    size_t count;
    uint64_t last; /* number of the newest entry ever made; 0: none */
    size_t bytes;  /* held, with overhead */
};

/* Numbers FRAME (its seq is set) and keeps it. -EMSGSIZE as kh_frame_encode. */
int kh_journal_add(struct kh_journal *journal, struct kh_frame *frame,
                   struct kh_error *err);

/* Frees the entries up to SEQ. Numbers not given yet free all there is. */
void kh_journal_ack(struct kh_journal *journal, uint64_t seq);

/* The oldest entry held with a number above SEQ; NULL when there is none. */
struct kh_entry *kh_journal_after(const struct kh_journal *journal, uint64_t seq);

/* Number of the oldest entry held, or of the next one when none is. */
uint64_t kh_journal_first(const struct kh_journal *journal);

/* True when KH_JOURNAL_BYTES are held, and false again below half of it: two
 * marks, so that reading does not start and stop with each entry. */
bool kh_journal_full(const struct kh_journal *journal);
bool kh_journal_low(const struct kh_journal *journal);

void kh_journal_release(struct kh_journal *journal);

/* An entry outlives its acknowledgement while it is being sent. */
struct kh_entry *kh_entry_ref(struct kh_entry *entry);
void kh_entry_unref(struct kh_entry *entry);

#endif
