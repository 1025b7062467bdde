#include "sandbox/init/journal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "protocol/link/init.h"

#define RING_MIN 64

static size_t
cost(const struct kh_entry *entry)
{
    return kh_buf_len(&entry->frame) + KH_JOURNAL_OVERHEAD;
}

static struct kh_entry **
slot(const struct kh_journal *journal, size_t i)
{
    return &journal->ring[(journal->head + i) & (journal->size - 1)];
}

static void
grow(struct kh_journal *journal)
{
    size_t size = journal->size ? 2 * journal->size : RING_MIN;
    struct kh_entry **ring = kh_xcalloc(size, sizeof(*ring));
    size_t i;

    for (i = 0; i < journal->count; i++)
        ring[i] = *slot(journal, i);
    free(journal->ring);
    journal->ring = ring;
    journal->size = size;
    journal->head = 0;
}

/* The buffer doubles while it grows; an entry that may be held for hours keeps
 * only what it needs. */
static void
trim(struct kh_buf *buf)
{
    buf->data = kh_xrealloc(buf->data, buf->tail);
    buf->size = buf->tail;
}

int
kh_journal_add(struct kh_journal *journal, struct kh_frame *frame, struct kh_error *err)
{
    struct kh_entry *entry = kh_xcalloc(1, sizeof(*entry));
    int r;

    frame->seq = journal->last + 1;
    r = kh_frame_encode(frame, &entry->frame, err);
    if (r < 0) {
        free(entry);
        return r;
    }
    trim(&entry->frame);
    entry->refs = 1;
    entry->seq = ++journal->last;
    if (journal->count == journal->size)
        grow(journal);
    *slot(journal, journal->count++) = entry;
    journal->bytes += cost(entry);
    return 0;
}

void
kh_journal_ack(struct kh_journal *journal, uint64_t seq)
{
    while (journal->count && (*slot(journal, 0))->seq <= seq) {
        struct kh_entry *entry = *slot(journal, 0);

        journal->bytes -= cost(entry);
        journal->head = (journal->head + 1) & (journal->size - 1);
        journal->count--;
        kh_entry_unref(entry);
    }
    if (!journal->count && journal->size > RING_MIN) {
        free(journal->ring);
        journal->ring = NULL;
        journal->size = journal->head = 0;
    }
}

struct kh_entry *
kh_journal_after(const struct kh_journal *journal, uint64_t seq)
{
    uint64_t first = kh_journal_first(journal);

    if (seq >= journal->last || !journal->count)
        return NULL;
    return *slot(journal, seq < first ? 0 : (size_t)(seq + 1 - first));
}

uint64_t
kh_journal_first(const struct kh_journal *journal)
{
    return journal->last - journal->count + 1;
}

bool
kh_journal_full(const struct kh_journal *journal)
{
    return journal->bytes >= KH_JOURNAL_BYTES;
}

bool
kh_journal_low(const struct kh_journal *journal)
{
    return journal->bytes < KH_JOURNAL_BYTES / 2;
}

void
kh_journal_release(struct kh_journal *journal)
{
    kh_journal_ack(journal, journal->last);
    free(journal->ring);
    journal->ring = NULL;
    journal->size = journal->head = 0;
}

struct kh_entry *
kh_entry_ref(struct kh_entry *entry)
{
    entry->refs++;
    return entry;
}

void
kh_entry_unref(struct kh_entry *entry)
{
    if (!entry || --entry->refs)
        return;
    kh_buf_release(&entry->frame);
    free(entry);
}
