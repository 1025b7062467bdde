#include "protocol/link/frame.h"

#include <errno.h>

#include "protocol/link/broker.h"
#include "tests/tap.h"

static void
round_trip(void)
{
    struct kh_frame in = {
        .type = 66, .flags = 2, .kernel = 7, .id = 1ull << 40, .seq = 99, .count = 3};
    struct kh_frame out;
    struct kh_buf buf = KH_BUF_INIT;
    struct kh_error err;
    size_t cut;
    int early = 0;

    in.slice[0] = kh_slice_text("stream");
    in.slice[1] = (struct kh_slice){NULL, 0};
    in.slice[2] = (struct kh_slice){"a\0b", 3};
    is_int(kh_frame_encode(&in, &buf, &err), 0, "a frame is encoded");
    is_int(kh_buf_len(&buf), kh_frame_size(&in), "it has the size foretold");
    for (cut = 0; cut < kh_buf_len(&buf); cut++)
        early += kh_frame_decode(kh_buf_ptr(&buf), cut, &out, &err) != 0;
    is_int(early, 0, "every shorter piece asks for more");
    is_int(kh_frame_decode(kh_buf_ptr(&buf), kh_buf_len(&buf), &out, &err),
           kh_buf_len(&buf), "the whole is decoded");
    ok(out.type == 66 && out.flags == 2 && out.kernel == 7 && out.seq == 99 &&
           out.id == 1ull << 40 && out.count == 3,
       "the head is the same");
    ok(out.slice[2].size == 3 && !memcmp(out.slice[2].data, "a\0b", 3),
       "bytes with NUL are the same");
    kh_buf_release(&buf);
}

static void
refusals(void)
{
    struct kh_frame frame = {.type = 1, .count = 1}, out;
    struct kh_buf buf = KH_BUF_INIT;
    struct kh_error err;
    unsigned char *at;

    frame.slice[0] = kh_slice_text("abcd");
    kh_frame_encode(&frame, &buf, NULL);
    at = (unsigned char *)kh_buf_ptr(&buf);
    at[32] = 5;
    is_int(kh_frame_decode(at, 40, &out, &err), -EBADMSG,
           "a slice past the frame is refused");
    at[32] = 3;
    is_int(kh_frame_decode(at, 40, &out, &err), -EBADMSG,
           "bytes behind the slices are refused");
    at[32] = 4;
    at[29] = 2;
    is_int(kh_frame_decode(at, 40, &out, &err), -EBADMSG,
           "too many slices are refused");
    at[29] = 0;
    at[3] = 0x7f;
    is_int(kh_frame_decode(at, 4, &out, &err), -EMSGSIZE,
           "a size over the limit is refused before it arrives");
    at[3] = 0;
    at[0] = 3;
    is_int(kh_frame_decode(at, 4, &out, &err), -EBADMSG,
           "a size under the head is refused");
    frame.count = KH_FRAME_SLICES_MAX + 1;
    is_int(kh_frame_encode(&frame, &buf, &err), -EMSGSIZE,
           "too many slices are not encoded");
    kh_buf_release(&buf);
}

static void
names(void)
{
    static const char *const good[] = {
        "a",    "a1", "my-box",
        "x--y", "0",  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const bad[] = {
        "",
        "-a",
        "a-",
        "A",
        "a_b",
        "a.b",
        "a/b",
        "..",
        "a b",
        "\xc3\xa9",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    char name[KH_NAME_SIZE + 8];
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        snprintf(name, sizeof(name), "%s", good[i]);
        ok(kh_name_valid(name), "name '%s' is accepted", good[i]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(name, sizeof(name), "%s", bad[i]);
        ok(!kh_name_valid(name), "name %zu of the bad ones is refused", i);
    }
    ok(kh_image_name_valid("debian-13.1_x"), "an image name may hold . and _");
    ok(!kh_image_name_valid("../x"), "an image name is no path");
}

int
main(void)
{
    round_trip();
    refusals();
    names();
    return done();
}
