#include <jansson.h>

#include "kernelhost/cli/notebook.h"
#include "tests/fuzz/fuzz.h"

/* A notebook that is taken is taken again as it is written, and is written the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_buf first = KH_BUF_INIT, second = KH_BUF_INIT, code = KH_BUF_INIT;
    json_t *book, *again, *cell;
    size_t i;

    if (kh_notebook_parse("fuzz", (const char *)data, size, &book, NULL) < 0)
        return 0;
    MUST(kh_notebook_language(book));
    json_array_foreach(json_object_get(book, "cells"), i, cell)
    {
        kh_notebook_source(cell, &code);
        kh_notebook_has_tag(cell, "raises-exception");
        kh_notebook_is_code(cell);
        kh_buf_consume(&code, kh_buf_len(&code));
    }
    kh_notebook_format(book, &first);
    MUST(kh_notebook_parse("again", kh_buf_ptr(&first), kh_buf_len(&first), &again,
                           NULL) == 0);
    kh_notebook_format(again, &second);
    MUST(kh_buf_len(&first) == kh_buf_len(&second));
    MUST(!memcmp(kh_buf_ptr(&first), kh_buf_ptr(&second), kh_buf_len(&first)));
    json_decref(book);
    json_decref(again);
    kh_buf_release(&first);
    kh_buf_release(&second);
    kh_buf_release(&code);
    return 0;
}
