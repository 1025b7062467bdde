#include "base/buf.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/utf8.h"
#include "tests/fuzz/fuzz.h"

/* Nothing that drives a terminal is left but newline, tab and, if wanted, colours. */
static void
check(const struct kh_buf *text, bool lines, bool colours)
{
    const unsigned char *p = (const unsigned char *)kh_buf_ptr(text);
    size_t size = kh_buf_len(text), i;

    MUST(kh_utf8_valid((struct kh_slice){p, size}));
    for (i = 0; i < size; i++) {
        if (p[i] == '\n' || p[i] == '\t')
            MUST(lines);
        else if (p[i] == 0x1b)
            MUST(colours && i + 1 < size && p[i + 1] == '[');
        else
            MUST(p[i] >= 0x20 && p[i] != 0x7f);
        MUST(p[i] != 0xc2 || p[i + 1] >= 0xa0); /* C1: 8-bit escape sequences */
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_buf safe = KH_BUF_INIT, plain = KH_BUF_INIT, colours = KH_BUF_INIT;
    const char *text = (const char *)data;

    kh_text_safe(&safe, text, size);
    kh_text_readable(&plain, text, size, KH_TEXT_PLAIN);
    kh_text_readable(&colours, text, size, KH_TEXT_COLOURS);
    check(&safe, false, false);
    check(&plain, true, false);
    check(&colours, true, true);
    kh_buf_release(&safe);
    kh_buf_release(&plain);
    kh_buf_release(&colours);
    return 0;
}
