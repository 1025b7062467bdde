#include "kernelhost/gateway/coalesce.h"
#include "tests/fuzz/fuzz.h"

static struct kh_buf got[2];

static void
emit(void *arg, uint64_t request, enum kh_stream stream, struct kh_slice text)
{
    (void)arg;
    (void)request;
    MUST(text.size && text.size <= 3 * KH_COALESCE_BYTES && kh_utf8_valid(text));
    kh_buf_add(&got[stream == KH_STREAM_STDERR], text.data, text.size);
}

/* However a program's output is cut, comes late or changes streams: the text of each
 * stream is the text of its bytes. Each piece: length, stream and delay in a byte. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_coalesce coalesce;
    struct kh_buf want[2] = {KH_BUF_INIT, KH_BUF_INIT};
    struct kh_utf8 utf8[2] = {0};
    uint64_t now = 1;
    int i;

    kh_coalesce_init(&coalesce, emit, NULL);
    while (size) {
        size_t n = *data & 15;
        int err = *data >> 4 & 1;

        now += *data >> 5 ? 30 : 0;
        data++;
        size--;
        n = n < size ? n : size;
        kh_coalesce_feed(&coalesce, now, 1, err ? KH_STREAM_STDERR : KH_STREAM_STDOUT,
                         (struct kh_slice){data, n});
        kh_utf8_feed(&utf8[err], (struct kh_slice){data, n}, &want[err]);
        MUST(kh_coalesce_due(&coalesce, now) <= KH_COALESCE_MS);
        if (kh_coalesce_due(&coalesce, now) == 0)
            kh_coalesce_flush(&coalesce, now);
        data += n;
        size -= n;
    }
    kh_coalesce_end(&coalesce, now);
    for (i = 0; i < 2; i++) {
        kh_utf8_end(&utf8[i], &want[i]);
        MUST(kh_buf_len(&got[i]) == kh_buf_len(&want[i]));
        MUST(!memcmp(kh_buf_ptr(&got[i]), kh_buf_ptr(&want[i]), kh_buf_len(&got[i])));
        kh_buf_release(&got[i]);
        kh_buf_release(&want[i]);
    }
    kh_coalesce_release(&coalesce);
    return 0;
}
