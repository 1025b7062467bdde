#include "sandbox/init/journal.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/link/init.h"
#include "tests/tap.h"

static void
add(struct kh_journal *journal, const char *text)
{
    struct kh_frame frame = {.type = KH_INIT_STREAM, .kernel = 3, .id = 7, .count = 1};

    frame.slice[0] = kh_slice_text(text);
    kh_journal_add(journal, &frame, NULL);
}

/* True when ENTRY is a frame with number SEQ that holds TEXT. */
static int
holds(const struct kh_entry *entry, uint64_t seq, const char *text)
{
    struct kh_frame frame;
    size_t size;

    if (!entry)
        return 0;
    size = kh_buf_len(&entry->frame);
    return kh_frame_decode(kh_buf_ptr(&entry->frame), size, &frame, NULL) ==
               (long)size &&
           entry->seq == seq && frame.seq == seq && frame.kernel == 3 &&
           frame.slice[0].size == strlen(text) &&
           !memcmp(frame.slice[0].data, text, strlen(text));
}

static void
numbers(void)
{
    struct kh_journal journal = {0};
    struct kh_entry *entry;
    char text[32];
    int i, right = 0;

    is_int(kh_journal_first(&journal), 1, "an empty journal begins with 1");
    ok(!kh_journal_after(&journal, 0), "and holds nothing");
    for (i = 1; i <= 1000; i++) {
        snprintf(text, sizeof(text), "entry %d", i);
        add(&journal, text);
    }
    is_int(journal.last, 1000, "a thousand entries are numbered");
    for (i = 1; i <= 1000; i++) {
        snprintf(text, sizeof(text), "entry %d", i);
        right += holds(kh_journal_after(&journal, (uint64_t)i - 1), (uint64_t)i, text);
    }
    is_int(right, 1000, "each is found after the one before it");
    ok(!kh_journal_after(&journal, 1000), "nothing is after the last");
    ok(!kh_journal_after(&journal, UINT64_MAX), "nor after the highest number");
    kh_journal_ack(&journal, 400);
    is_int(kh_journal_first(&journal), 401, "acknowledged entries are freed");
    ok(holds(kh_journal_after(&journal, 3), 401, "entry 401"),
       "who asks for freed ones gets the first that is held");
    ok(holds(kh_journal_after(&journal, 700), 701, "entry 701"), "the rest stays");
    kh_journal_ack(&journal, 10);
    is_int(kh_journal_first(&journal), 401, "an old acknowledgement means nothing");
    entry = kh_entry_ref(kh_journal_after(&journal, 400));
    kh_journal_ack(&journal, UINT64_MAX);
    ok(!journal.count && !journal.bytes, "all can be freed");
    ok(holds(entry, 401, "entry 401"), "an entry that is being sent lives on");
    kh_entry_unref(entry);
    add(&journal, "more");
    ok(holds(kh_journal_after(&journal, 0), 1001, "more"), "numbers go on");
    kh_journal_release(&journal);
}

/* The ring wraps: a window of entries moves along. */
static void
window(void)
{
    struct kh_journal journal = {0};
    char text[32];
    int i, right = 0;

    for (i = 1; i <= 5000; i++) {
        snprintf(text, sizeof(text), "%d", i);
        add(&journal, text);
        if (i > 100)
            kh_journal_ack(&journal, (uint64_t)i - 100);
        snprintf(text, sizeof(text), "%d", i > 100 ? i - 99 : 1);
        right +=
            holds(kh_journal_after(&journal, 0), i > 100 ? (uint64_t)i - 99 : 1, text);
    }
    is_int(right, 5000, "a moving window keeps its first entry");
    is_int(journal.count, 100, "and its size");
    kh_journal_release(&journal);
    ok(!journal.ring && !journal.bytes, "release frees it");
}

static void
marks(void)
{
    struct kh_journal journal = {0};
    char *big = calloc(1, 1000 * 1000 + 1);
    uint64_t half = 0, full;

    memset(big, 'x', 1000 * 1000);
    ok(!kh_journal_full(&journal) && kh_journal_low(&journal), "empty is low");
    while (!kh_journal_full(&journal)) {
        add(&journal, big);
        if (!half && !kh_journal_low(&journal))
            half = journal.last;
    }
    full = journal.last;
    is_int(full, 9, "9 MB are above the mark of 8 MiB, 8 MB are not");
    is_int(half, 5, "5 MB are above half of it");
    kh_journal_ack(&journal, 1);
    ok(!kh_journal_full(&journal) && !kh_journal_low(&journal),
       "between the marks it is neither full nor low");
    kh_journal_ack(&journal, full - 4);
    ok(kh_journal_low(&journal), "4 MB are low");
    kh_journal_release(&journal);
    while (!kh_journal_full(&journal))
        add(&journal, "");
    ok(journal.count < KH_JOURNAL_BYTES / 64, "empty entries fill it as well (%zu)",
       journal.count);
    kh_journal_release(&journal);
    free(big);
}

static void
too_large(void)
{
    struct kh_journal journal = {0};
    struct kh_frame frame = {.type = KH_INIT_STREAM, .count = 1};
    struct kh_error err;

    frame.slice[0] = (struct kh_slice){"", KH_FRAME_MAX};
    is_int(kh_journal_add(&journal, &frame, &err), -EMSGSIZE,
           "a frame over the limit is refused");
    ok(!journal.last && !journal.count, "and takes no number");
    kh_journal_release(&journal);
}

int
main(void)
{
    numbers();
    window();
    marks();
    too_large();
    return done();
}
