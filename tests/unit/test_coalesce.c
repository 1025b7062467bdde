#include "kernelhost/gateway/coalesce.h"

#include "base/buf.h"
#include "tests/tap.h"

#define OUT KH_STREAM_STDOUT
#define ERR KH_STREAM_STDERR

/* What was emitted: "REQUEST:o:TEXT|" one after the other, and how often. */
struct log {
    struct kh_buf text;
    int count;
    size_t longest;
};

static void
on_emit(void *arg, uint64_t request, enum kh_stream stream, struct kh_slice text)
{
    struct log *log = arg;

    log->count++;
    if (text.size > log->longest)
        log->longest = text.size;
    kh_buf_addf(&log->text, "%d:%c:", (int)request, stream == ERR ? 'e' : 'o');
    kh_buf_add(&log->text, text.data, text.size);
    kh_buf_add(&log->text, "|", 1);
}

static void
feed(struct kh_coalesce *c, uint64_t now, uint64_t request, enum kh_stream stream,
     const char *text)
{
    kh_coalesce_feed(c, now, request, stream, kh_slice_text(text));
}

/* Compares what was emitted since the last time. */
static void
emitted(struct log *log, const char *want, const char *text)
{
    kh_buf_add(&log->text, "", 1);
    is_str(kh_buf_ptr(&log->text), want, "%s", text);
    kh_buf_release(&log->text);
    log->count = 0;
}

static void
time_rules(void)
{
    struct log log = {0};
    struct kh_coalesce c;

    kh_coalesce_init(&c, on_emit, &log);
    is_int(kh_coalesce_due(&c, 1000), -1, "nothing waits at first");
    feed(&c, 1000, 1, OUT, "a");
    emitted(&log, "1:o:a|", "the first byte goes out at once");
    feed(&c, 1010, 1, OUT, "b");
    feed(&c, 1020, 1, OUT, "c");
    emitted(&log, "", "what follows soon is gathered");
    is_int(kh_coalesce_due(&c, 1020), KH_COALESCE_MS - 20, "and due 50 ms later");
    is_int(kh_coalesce_due(&c, 1090), 0, "or now, when that is over");
    kh_coalesce_flush(&c, 1050);
    emitted(&log, "1:o:bc|", "then it goes out");
    feed(&c, 1050 + KH_COALESCE_MS, 1, OUT, "d");
    emitted(&log, "1:o:d|", "after a pause the first byte goes out at once again");
    kh_coalesce_release(&c);
}

static void
size_rules(void)
{
    static char big[3 * KH_COALESCE_BYTES];
    struct log log = {0};
    struct kh_coalesce c;
    int i;

    memset(big, 'x', sizeof(big));
    kh_coalesce_init(&c, on_emit, &log);
    feed(&c, 5, 1, OUT, ".");
    kh_coalesce_feed(&c, 6, 1, OUT, (struct kh_slice){big, sizeof(big)});
    is_int(log.count, 4, "a large piece goes out in messages of 64 KiB");
    is_int(log.longest, KH_COALESCE_BYTES, "none of them larger");
    kh_buf_release(&log.text);
    log.count = 0;
    for (i = 0; i < 20000; i++)
        feed(&c, 7, 1, OUT, "0123456789\n");
    kh_coalesce_end(&c, 7);
    is_int(log.count, 4, "20,000 lines go out in four messages");
    is_int(kh_buf_len(&log.text) - 4 * 5, 20000 * 11, "without losing a byte");
    kh_buf_release(&log.text);
    memset(big, 0xff, sizeof(big));
    kh_coalesce_feed(&c, 8, 1, OUT, (struct kh_slice){big, sizeof(big)});
    ok(log.longest <= 3 * KH_COALESCE_BYTES,
       "replacement characters stay within bounds");
    kh_buf_release(&log.text);
    kh_coalesce_release(&c);
}

static void
order_rules(void)
{
    struct log log = {0};
    struct kh_coalesce c;

    kh_coalesce_init(&c, on_emit, &log);
    feed(&c, 0, 1, OUT, "a");
    feed(&c, 1, 1, OUT, "b");
    feed(&c, 2, 1, ERR, "c");
    feed(&c, 3, 2, ERR, "d");
    feed(&c, 4, 2, OUT, "e");
    kh_coalesce_flush(&c, 5);
    emitted(&log, "1:o:a|1:o:b|1:e:c|2:e:d|2:o:e|",
            "streams and requests are not mixed and keep their order");
    kh_coalesce_flush(&c, 6);
    emitted(&log, "", "there is nothing twice");
    kh_coalesce_release(&c);
}

static void
text_rules(void)
{
    struct log log = {0};
    struct kh_coalesce c;

    kh_coalesce_init(&c, on_emit, &log);
    feed(&c, 0, 1, OUT, "\xe2\x82");
    emitted(&log, "", "half a character waits");
    feed(&c, 0, 1, ERR, "\xc3");
    feed(&c, 100, 1, OUT, "\xac!");
    feed(&c, 200, 1, ERR, "\xa9?");
    emitted(&log, "1:o:\xe2\x82\xac!|1:e:\xc3\xa9?|",
            "for its other half, on each stream by itself");
    feed(&c, 300, 1, OUT,
         "a\xff"
         "b");
    emitted(&log,
            "1:o:a\xef\xbf\xbd"
            "b|",
            "a byte that is no text becomes U+FFFD");
    feed(&c, 400, 1, OUT, "x\xe2\x82");
    feed(&c, 400, 1, ERR, "\xf0\x9f");
    kh_coalesce_end(&c, 400);
    emitted(&log, "1:o:x|1:o:\xef\xbf\xbd|1:e:\xef\xbf\xbd|",
            "at the end a cut character becomes U+FFFD");
    kh_coalesce_end(&c, 500);
    emitted(&log, "", "once");
    kh_coalesce_release(&c);
}

int
main(void)
{
    time_rules();
    size_rules();
    order_rules();
    text_rules();
    return done();
}
