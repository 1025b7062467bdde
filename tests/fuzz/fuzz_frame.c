#include "protocol/link/frame.h"
#include "tests/fuzz/fuzz.h"

/* What is decoded is encoded to the same bytes. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kh_frame frame;
    static struct kh_buf out;
    long n = kh_frame_decode(data, size, &frame, NULL);

    kh_buf_consume(&out, kh_buf_len(&out));
    if (n > 0) {
        MUST(kh_frame_encode(&frame, &out, NULL) == 0 && kh_buf_len(&out) == (size_t)n);
        MUST(!memcmp(kh_buf_ptr(&out), data, (size_t)n));
    }
    return 0;
}
