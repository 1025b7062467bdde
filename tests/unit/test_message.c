#include "kernelhost/gateway/message.h"

#include <errno.h>
#include <stdbool.h>

#include "kernelhost/gateway/base64.h"
#include "protocol/jupyter/json.h"
#include "tests/tap.h"

static const char *const pairs[][2] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xfe", "+//+"},
};

static const char *const bad[] = {
    "Z",    "Zg",   "Zg=",    "Zg===", "====", "=Zg=",     "Z===",
    "Zh==", "Zm9=", "Zm9v\n", "Zm 9",  "Zm-_", "Zg==Zg==", "Zm9\xc3",
};

static void
base64(void)
{
    struct kh_buf out = KH_BUF_INIT, back = KH_BUF_INIT;
    unsigned char all[256], i = 0;
    size_t n;

    for (n = 0; n < sizeof(pairs) / sizeof(*pairs); n++) {
        kh_base64_add(&out, kh_slice_text(pairs[n][0]));
        kh_buf_add(&out, "", 1);
        is_str(kh_buf_ptr(&out), pairs[n][1], "'%s' is encoded", pairs[n][1]);
        kh_buf_release(&out);
        kh_base64_decode(kh_slice_text(pairs[n][1]), &out, NULL);
        kh_buf_add(&out, "", 1);
        is_str(kh_buf_ptr(&out), pairs[n][0], "'%s' is decoded", pairs[n][1]);
        kh_buf_release(&out);
    }
    for (n = 0; n < sizeof(bad) / sizeof(*bad); n++)
        ok(kh_base64_decode(kh_slice_text(bad[n]), &out, NULL) == -EBADMSG &&
               kh_buf_len(&out) == 0,
           "base64 %zu of the bad ones is refused", n);
    do
        all[i] = i;
    while (++i);
    kh_base64_add(&out, (struct kh_slice){all, sizeof(all)});
    kh_base64_decode((struct kh_slice){kh_buf_ptr(&out), kh_buf_len(&out)}, &back,
                     NULL);
    kh_buf_release(&out);
    out = back;
    ok(kh_buf_len(&out) == sizeof(all) && !memcmp(kh_buf_ptr(&out), all, sizeof(all)),
       "all bytes come back");
    kh_buf_release(&out);
}

static void
lines(void)
{
    struct kh_slice buffer[2] = {kh_slice_text("foo"), {"", 0}};
    struct kh_message message = {.channel = KH_CHANNEL_IOPUB,
                                 .msg_type = "x",
                                 .header = kh_slice_text("{\"msg_type\":\"x\"}"),
                                 .content = kh_slice_text("{\n\"a\":\r\n[1,\n2]}")};
    struct kh_buf out = KH_BUF_INIT;
    size_t size;

    kh_message_line(&message, &out);
    kh_buf_add(&out, "", 1);
    is_str(kh_buf_ptr(&out),
           "{\"channel\":\"iopub\",\"header\":{\"msg_type\":\"x\"},"
           "\"parent_header\":{},\"metadata\":{},\"content\":{ \"a\":  [1, 2]}}\n",
           "a message is one line, whatever breaks its JSON has");
    kh_buf_release(&out);
    message.buffer = buffer;
    message.buffer_count = 2;
    kh_message_line(&message, &out);
    size = kh_buf_len(&out);
    ok(kh_json_check((struct kh_slice){kh_buf_ptr(&out), size - 1}, KH_JSON_OBJECT,
                     NULL, NULL) == 0,
       "with buffers it is JSON too");
    kh_buf_add(&out, "", 1);
    ok(strstr(kh_buf_ptr(&out), ",\"buffers\":[\"Zm9v\",\"\"]}\n"), "and has them");
    kh_buf_release(&out);
}

int
main(void)
{
    base64();
    lines();
    return done();
}
