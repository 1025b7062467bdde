#include "protocol/jupyter/utf8.h"

#include "tests/tap.h"

#define R "\xef\xbf\xbd"

static const struct {
    const char *in, *out;
} cases[] = {
    {"", ""},
    {"plain ascii, longer than a word", "plain ascii, longer than a word"},
    {"h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80",
     "h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"\xff", R},
    {"a\x80z", "a" R "z"},
    {"\x80\x80", R R},
    {"\xc3", R},
    {"\xc3(", R "("},
    {"\xc0\xaf", R R},
    {"\xe2\x82", R},
    {"\xe2\x82z", R "z"},
    {"\xe2\x28\xa1", R "(" R},
    {"\xe0\x80\xaf", R R R},
    {"\xed\xa0\x80", R R R},
    {"\xed\x9f\xbf", "\xed\x9f\xbf"},
    {"\xf0\x9f\x98", R},
    {"\xf0\x9f\x98\xf0\x9f\x98\x80", R "\xf0\x9f\x98\x80"},
    {"\xf0\x80\x80\xaf", R R R R},
    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    {"\xf4\x90\x80\x80", R R R R},
    {"\xf5\x80", R R},
    {"\xf1\x80\xe1\x80\xc2z", R R R "z"}, /* the example of the Unicode Standard */
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
     "A",
     R R R R "A"},
    {"12345678\xc3\xa9"
     "87654321\xff",
     "12345678\xc3\xa9"
     "87654321" R},
};

static int
same(const struct kh_buf *out, const char *want)
{
    return kh_buf_len(out) == strlen(want) &&
           !memcmp(kh_buf_ptr(out), want, strlen(want));
}

/* The result may not depend on where the reads happened to end. */
static int
in_pieces(const char *in, const char *want, size_t first, size_t second)
{
    struct kh_utf8 utf8 = {0};
    struct kh_buf out = KH_BUF_INIT;
    size_t size = strlen(in);
    int right;

    kh_utf8_feed(&utf8, (struct kh_slice){in, first}, &out);
    kh_utf8_feed(&utf8, (struct kh_slice){in + first, second - first}, &out);
    kh_utf8_feed(&utf8, (struct kh_slice){in + second, size - second}, &out);
    kh_utf8_end(&utf8, &out);
    right = same(&out, want) && utf8.count == 0;
    kh_buf_release(&out);
    return right;
}

int
main(void)
{
    struct kh_utf8 utf8 = {0};
    struct kh_buf out = KH_BUF_INIT;
    size_t i, a, b, bad;
    bool cut;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t size = strlen(cases[i].in);
        int wrong = 0;

        for (a = 0; a <= size; a++)
            for (b = a; b <= size; b++)
                wrong += !in_pieces(cases[i].in, cases[i].out, a, b);
        is_int(wrong, 0, "case %zu comes out right, cut at any two places", i);
        ok(kh_utf8_valid(kh_slice_text(cases[i].in)) ==
               !strcmp(cases[i].in, cases[i].out),
           "case %zu is valid only if nothing changes", i);
    }
    kh_utf8_feed(&utf8, kh_slice_text("ab\xe2\x82"), &out);
    ok(same(&out, "ab") && utf8.count == 2, "a cut character is held back");
    kh_utf8_feed(&utf8, (struct kh_slice){NULL, 0}, &out);
    ok(utf8.count == 2, "no bytes change nothing");
    kh_utf8_feed(&utf8,
                 kh_slice_text("\xac"
                               "c"),
                 &out);
    ok(same(&out, "ab\xe2\x82\xac"
                  "c"),
       "and completed by the next piece");
    is_int(kh_utf8_char("\xe2\x82", 2, &bad, &cut), 0, "a cut character has no length");
    ok(cut && bad == 2, "but could go on");
    is_int(kh_utf8_char("\xe2(", 2, &bad, &cut), 0, "a broken one has none");
    ok(!cut && bad == 1, "and cannot");
    is_int(kh_utf8_plain("0123456789abcdef\"x", 18), 16, "a plain run ends at a quote");
    is_int(kh_utf8_plain("0123456789\\", 11), 10, "at a backslash");
    is_int(kh_utf8_plain("0123456\n", 8), 7, "at a control character");
    is_int(kh_utf8_plain("0123456789012345678\xc3\xa9", 21), 19, "beyond ASCII");
    kh_buf_release(&out);
    return done();
}
