#include "protocol/jupyter/wire.h"
#include "tests/fuzz/fuzz.h"

/* Frames are cut out of the input by two bytes of length each. */
static size_t
cut_frames(const uint8_t *data, size_t size, struct kh_slice *frame, size_t max)
{
    size_t count = 0, length;

    for (; size >= 2 && count < max; count++, data += length, size -= length) {
        length = (size_t)data[0] << 8 | data[1];
        data += 2;
        size -= 2;
        length = length < size ? length : size;
        frame[count] = (struct kh_slice){data, length};
    }
    return count;
}

/* A message that is taken is composed to the same frames. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kh_signer *open, *keyed;
    static struct kh_slice frame[KH_WIRE_FRAMES_MAX + 1];
    static struct kh_wire wire;
    static struct kh_wire_out out;
    size_t count = cut_frames(data, size, frame, KH_WIRE_FRAMES_MAX + 1);

    open = open ? open : kh_signer_new_open();
    MUST(keyed || kh_signer_new(NULL, kh_slice_text("fuzz"), &keyed, NULL) == 0);
    kh_wire_parse(frame, count, keyed, NULL, &wire, NULL);
    if (kh_wire_parse(frame, count, open, NULL, &wire, NULL) == KH_WIRE_OK) {
        MUST(kh_wire_compose(&wire, keyed, &out, NULL) == 0 && out.count == count);
        MUST(kh_wire_parse(out.frame, out.count, keyed, NULL, &wire, NULL) ==
             KH_WIRE_OK);
    }
    return 0;
}
