#include "protocol/jupyter/json.h"
#include "protocol/jupyter/utf8.h"
#include "tests/fuzz/fuzz.h"

/* Any bytes become valid text, the same whichever way they are cut. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cut = size ? data[0] % (size + 1) : 0;
    struct kh_buf whole = KH_BUF_INIT, pieces = KH_BUF_INIT, json = KH_BUF_INIT;
    struct kh_utf8 utf8 = {0};

    kh_utf8_feed(&utf8, (struct kh_slice){data, size}, &whole);
    kh_utf8_end(&utf8, &whole);
    kh_utf8_feed(&utf8, (struct kh_slice){data, cut}, &pieces);
    kh_utf8_feed(&utf8, (struct kh_slice){data + cut, size - cut}, &pieces);
    kh_utf8_end(&utf8, &pieces);
    kh_json_add_string(&json, (struct kh_slice){data, size});
    MUST(kh_utf8_valid((struct kh_slice){kh_buf_ptr(&whole), kh_buf_len(&whole)}));
    MUST(kh_buf_len(&whole) == kh_buf_len(&pieces));
    MUST(!memcmp(kh_buf_ptr(&whole), kh_buf_ptr(&pieces), kh_buf_len(&whole)));
    MUST(kh_json_check((struct kh_slice){kh_buf_ptr(&json), kh_buf_len(&json)},
                       KH_JSON_STRING, NULL, NULL) == 0);
    kh_buf_release(&whole);
    kh_buf_release(&pieces);
    kh_buf_release(&json);
    return 0;
}
