#include "kernelhost/cli/base64.h"
#include "tests/fuzz/fuzz.h"

/* The base64 of pictures, as runners write it: newlines anywhere. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_buf text = KH_BUF_INIT, bytes = KH_BUF_INIT;

    kh_base64_encode(&text, data, size);
    MUST(kh_base64_decode(&bytes, kh_buf_ptr(&text), kh_buf_len(&text)) == 0);
    MUST(kh_buf_len(&bytes) == size && !memcmp(kh_buf_ptr(&bytes), data, size));
    kh_buf_consume(&bytes, size);
    if (kh_base64_decode(&bytes, (const char *)data, size) == 0)
        MUST(kh_buf_len(&bytes) <= size / 4 * 3 + 3);
    kh_buf_release(&text);
    kh_buf_release(&bytes);
    return 0;
}
