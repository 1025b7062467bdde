#include "kernelhost/gateway/base64.h"
#include "tests/fuzz/fuzz.h"

/* Bytes come back from their text; text that is taken is the text of its bytes. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_buf text = KH_BUF_INIT, bytes = KH_BUF_INIT, again = KH_BUF_INIT;

    kh_base64_add(&text, (struct kh_slice){data, size});
    MUST(kh_base64_decode((struct kh_slice){kh_buf_ptr(&text), kh_buf_len(&text)},
                          &bytes, NULL) == 0);
    MUST(kh_buf_len(&bytes) == size && !memcmp(kh_buf_ptr(&bytes), data, size));
    kh_buf_consume(&bytes, size);
    if (kh_base64_decode((struct kh_slice){data, size}, &bytes, NULL) == 0) {
        kh_base64_add(&again,
                      (struct kh_slice){kh_buf_ptr(&bytes), kh_buf_len(&bytes)});
        MUST(kh_buf_len(&again) == size && !memcmp(kh_buf_ptr(&again), data, size));
    }
    kh_buf_release(&text);
    kh_buf_release(&bytes);
    kh_buf_release(&again);
    return 0;
}
