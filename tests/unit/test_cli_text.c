/* Sizes, base64, safe text and tables of the command line. */
#include <errno.h>
#include <stdlib.h>

#include "base/clean.h"
#include "kernelhost/cli/base64.h"
#include "kernelhost/cli/size.h"
#include "kernelhost/cli/table.h"
#include "kernelhost/cli/text.h"
#include "tests/tap.h"

static void
sizes(void)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"1", 1},
                {"65536", 65536},
                {"512M", 512ull << 20},
                {"512m", 512ull << 20},
                {"512MB", 512ull << 20},
                {"512MiB", 512ull << 20},
                {"1.5G", 3ull << 29},
                {".5K", 512},
                {"0.25T", 1ull << 38},
                {"100B", 100},
                {"4194304T", 1ull << 62},
                {"1.000000001T", (1ull << 40) + 1024}};
    static const char *const bad[] = {"",
                                      "M",
                                      "0",
                                      "0M",
                                      "-1",
                                      "+1",
                                      "1,5G",
                                      "1.5",
                                      "1e3",
                                      " 1",
                                      "1 ",
                                      "1 M",
                                      "1X",
                                      "1MM",
                                      "0x10",
                                      "1.2.3",
                                      "inf",
                                      "nan",
                                      "1.",
                                      "5000000T",
                                      "4194304.5T",
                                      "99999999999999999999",
                                      "0.1B",
                                      "1MiBs",
                                      "1Bi",
                                      "1K\n",
                                      "18446744073709551616"};
    struct kh_error err;
    uint64_t bytes;
    size_t i;

    for (i = 0; i < KH_COUNT(good); i++) {
        is_int(kh_size_parse(good[i].text, &bytes, &err), 0, "size '%s' is read",
               good[i].text);
        is_int(bytes, good[i].bytes, "and it is right");
    }
    for (i = 0; i < KH_COUNT(bad); i++) {
        bytes = 7;
        is_int(kh_size_parse(bad[i], &bytes, &err), -EINVAL, "bad size %zu is refused",
               i);
        is_int(bytes, 7, "and nothing is set");
    }
}

static void
numbers(void)
{
    static const char *const bad[] = {
        "",     "0",  "0.001", "-1", "1/2",
        "5000", "1x", "nan",   "1 ", "99999999999999999999"};
    uint32_t milli;
    uint64_t count;
    size_t i;

    ok(kh_cpus_parse("2", &milli, NULL) == 0 && milli == 2000, "two processors");
    ok(kh_cpus_parse("0.5", &milli, NULL) == 0 && milli == 500, "half of one");
    ok(kh_cpus_parse(".01", &milli, NULL) == 0 && milli == 10, "the least");
    for (i = 0; i < KH_COUNT(bad); i++)
        is_int(kh_cpus_parse(bad[i], &milli, NULL), -EINVAL,
               "bad number %zu is refused", i);
    ok(kh_count_parse("n", "16", 16, 32, &count, NULL) == 0 && count == 16,
       "lower end");
    is_int(kh_count_parse("n", "15", 16, 32, &count, NULL), -EINVAL, "below it");
    is_int(kh_count_parse("n", "33", 16, 32, &count, NULL), -EINVAL, "above the upper");
    is_int(kh_count_parse("n", "20.0", 16, 32, &count, NULL), -EINVAL,
           "no whole number");
}

static void
sizes_shown(void)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0"},
                {1023, "1023"},
                {1024, "1K"},
                {1536, "1.5K"},
                {10240, "10K"},
                {512ull << 20, "512M"},
                {3ull << 29, "1.5G"},
                {(1ull << 30) - 1, "1023M"},
                {UINT64_MAX, "15E"}};
    char out[KH_SIZE_TEXT];
    size_t i;

    for (i = 0; i < KH_COUNT(rows); i++)
        is_str(kh_size_text(rows[i].bytes, out), rows[i].text, "%s is shown",
               rows[i].text);
}

static void
base64(void)
{
    static const char *const bad[] = {
        "A",    "AA",   "AAA",   "AA=",   "A===",     "AA=A",
        "====", "A*==", "AAAA=", "AAAAA", "AA==AA==", "\200AAA"};
    static const char *const texts[] = {"",     "f",     "fo",    "foo",
                                        "foob", "fooba", "foobar"};
    static const char *const codes[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    struct kh_buf out = KH_BUF_INIT, back = KH_BUF_INIT;
    unsigned char all[256];
    size_t i;

    for (i = 0; i < KH_COUNT(texts); i++) {
        kh_base64_encode(&out, texts[i], strlen(texts[i]));
        kh_buf_add(&out, "", 1);
        is_str(kh_buf_ptr(&out), codes[i], "'%s' is encoded", texts[i]);
        kh_buf_release(&out);
        is_int(kh_base64_decode(&out, codes[i], strlen(codes[i])), 0, "and decoded");
        kh_buf_add(&out, "", 1);
        is_str(kh_buf_ptr(&out), texts[i], "to the same");
        kh_buf_release(&out);
    }
    for (i = 0; i < KH_COUNT(bad); i++) {
        is_int(kh_base64_decode(&out, bad[i], strlen(bad[i])), -EBADMSG,
               "bad text %zu is refused", i);
        kh_buf_release(&out);
    }
    for (i = 0; i < sizeof(all); i++)
        all[i] = (unsigned char)i;
    kh_base64_encode(&out, all, sizeof(all));
    is_int(kh_buf_len(&out), 344, "256 bytes take 344 characters");
    is_int(kh_base64_decode(&back, kh_buf_ptr(&out), kh_buf_len(&out)), 0,
           "they are decoded");
    ok(kh_buf_len(&back) == sizeof(all) && !memcmp(kh_buf_ptr(&back), all, sizeof(all)),
       "to the same bytes");
    kh_buf_release(&back);
    kh_buf_release(&out);
    is_int(kh_base64_decode(&out, "Zm9v\nYmFy\r\n", 11), 0, "newlines are skipped");
    is_int(kh_buf_len(&out), 6, "all of it is there");
    kh_buf_release(&out);
}

static void
safe(const char *in, const char *want, const char *what)
{
    AUTO_FREE char *got = kh_text_safe_copy(in);

    is_str(got, want, "safe: %s", what);
}

static void
readable(const char *in, enum kh_text_colour colour, const char *want, const char *what)
{
    struct kh_buf out = KH_BUF_INIT;

    kh_text_readable(&out, in, strlen(in), colour);
    kh_buf_add(&out, "", 1);
    is_str(kh_buf_ptr(&out), want, "readable: %s", what);
    kh_buf_release(&out);
}

static void
texts(void)
{
    safe("plain", "plain", "ASCII stays");
    safe("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "UTF-8 stays");
    safe("a\x1b[31mb", "a\\x1b[31mb", "an escape is shown");
    safe("a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f", "controls are shown");
    safe("\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m", "the one-character CSI is shown");
    /* NOLINTNEXTLINE(misc-misleading-bidirectional): what this is about */
    safe("a\xe2\x80\xae"
         "b",
         "a\\xe2\\x80\\xaeb", "a mark that turns text is shown");
    safe("\xff\xc0\xaf\xed\xa0\x80", "\\xff\\xc0\\xaf\\xed\\xa0\\x80",
         "what is no UTF-8 is shown");
    safe("\xf0\x9f\x98", "\\xf0\\x9f\\x98", "a cut character is shown");
    safe(NULL, "", "nothing");

    readable("\x1b[1;31mred\x1b[0m\n", KH_TEXT_COLOURS, "\x1b[1;31mred\x1b[0m\n",
             "colours stay");
    readable("\x1b[1;31mred\x1b[0m\n", KH_TEXT_PLAIN, "red\n", "or go");
    readable("\x1b[38;5;4m\x1b[38:2::1:2:3mx", KH_TEXT_PLAIN, "x", "all forms of them");
    readable("a\x1b[2J\x1b[5Hb\x1b[?25lc", KH_TEXT_COLOURS, "abc",
             "no other sequence stays");
    readable("a\x1b]0;title\x07"
             "b\x1b]8;;u\x1b\\c",
             KH_TEXT_COLOURS, "abc", "titles and links go");
    readable("a\x1bPdcs\x1b\\b\x1b"
             "cc",
             KH_TEXT_COLOURS, "abc", "device strings go");
    readable("a\x1b[>1mb", KH_TEXT_COLOURS, "ab", "what only looks like a colour goes");
    readable("a\x1b", KH_TEXT_COLOURS, "a", "a lone escape goes");
    readable("a\x1b[12", KH_TEXT_COLOURS, "a", "a cut one goes");
    readable("a\x1b]0;never ends", KH_TEXT_PLAIN, "a", "and one that never ends");
    readable("a\r\nb\rc\x08", KH_TEXT_PLAIN, "a\nb\\x0dc\\x08",
             "returns and backspaces cannot hide text");
}

static void
tables(void)
{
    struct kh_table table = KH_TABLE_INIT;
    struct kh_buf out = KH_BUF_INIT;

    kh_table_head(&table, "NAME STATE N");
    kh_table_add(&table, "b\xc3\xbc"
                         "box");
    kh_table_add(&table, "running");
    kh_table_add(&table, "1");
    kh_table_add(&table, "a");
    kh_table_add(&table, NULL);
    kh_table_add(&table, "x\n");
    kh_table_print(&table, &out);
    kh_buf_add(&out, "", 1);
    is_str(kh_buf_ptr(&out),
           "NAME   STATE    N\n"
           "b\xc3\xbc"
           "box  running  1\n"
           "a      -        x\\x0a\n",
           "columns are aligned and safe");
    kh_buf_release(&out);
    kh_table_release(&table);
}

int
main(void)
{
    sizes();
    numbers();
    sizes_shown();
    base64();
    texts();
    tables();
    return done();
}
