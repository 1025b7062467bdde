#include "protocol/jupyter/reply.h"

#include "protocol/jupyter/schema.h"
#include "tests/tap.h"

static struct kh_slice
slice(const struct kh_buf *out)
{
    return (struct kh_slice){kh_buf_ptr(out), kh_buf_len(out)};
}

/* The text of OUT, which is emptied. */
static const char *
text(struct kh_buf *out)
{
    static char copy[2048];

    snprintf(copy, sizeof(copy), "%.*s", (int)kh_buf_len(out), kh_buf_ptr(out));
    kh_buf_consume(out, kh_buf_len(out));
    return copy;
}

/* Whatever we say must pass the check that a runner has to pass. */
static void
conforms(const struct kh_buf *out, enum kh_channel channel, const char *type)
{
    const struct kh_schema *row;
    struct kh_error err = {.text = ""};

    is_int(kh_schema_check(channel, kh_slice_text(type), kh_slice_text(""), slice(out),
                           0, &row, &err),
           0, "%s is as the schema wants it: %s", type, err.text);
}

static void
iopub(struct kh_buf *out)
{
    struct kh_slice bytes = {"a\n\0\xff", 4};

    kh_reply_state(out, "busy");
    is_str(text(out), "{\"execution_state\":\"busy\"}", "status");
    kh_reply_stream(out, "stderr", bytes);
    conforms(out, KH_CHANNEL_IOPUB, "stream");
    is_str(text(out), "{\"name\":\"stderr\",\"text\":\"a\\n\\u0000\xef\xbf\xbd\"}",
           "stream");
    kh_reply_error(out, "KernelDied", "it \"ended\"");
    conforms(out, KH_CHANNEL_IOPUB, "error");
    is_str(text(out),
           "{\"ename\":\"KernelDied\",\"evalue\":\"it \\\"ended\\\"\","
           "\"traceback\":[\"KernelDied: it \\\"ended\\\"\"]}",
           "error");
    kh_reply_welcome(out, bytes);
    is_str(text(out), "{\"subscription\":\"a\\n\\u0000\xef\xbf\xbd\"}",
           "iopub_welcome");
}

static void
replies(struct kh_buf *out)
{
    struct kh_connfile file = {.port = {1, 2, 3, 4, 5}};

    kh_reply_ok(out);
    is_str(text(out), "{\"status\":\"ok\"}", "ok");
    kh_reply_failed(out, "execute_reply", "E", "v", 7);
    conforms(out, KH_CHANNEL_SHELL, "execute_reply");
    is_str(text(out),
           "{\"status\":\"error\",\"ename\":\"E\",\"evalue\":\"v\",\"traceback\":[\"E: "
           "v\"],"
           "\"execution_count\":7,\"user_expressions\":{},\"payload\":[]}",
           "a failed execute_reply");
    kh_reply_failed(out, "complete_reply", "E", "v", 7);
    conforms(out, KH_CHANNEL_SHELL, "complete_reply");
    is_str(text(out),
           "{\"status\":\"error\",\"ename\":\"E\",\"evalue\":\"v\",\"traceback\":[\"E: "
           "v\"]}",
           "another failed reply");
    kh_reply_aborted(out, 3);
    conforms(out, KH_CHANNEL_SHELL, "execute_reply");
    is_str(text(out), "{\"status\":\"aborted\",\"execution_count\":3}", "aborted");
    kh_reply_shutdown(out, true);
    is_str(text(out), "{\"status\":\"ok\",\"restart\":true}", "shutdown_reply");
    kh_reply_connect(out, &file);
    is_str(text(out),
           "{\"status\":\"ok\",\"shell_port\":1,\"iopub_port\":2,\"stdin_port\":3,"
           "\"control_port\":4,\"hb_port\":5}",
           "connect_reply");
    kh_reply_kernel_info(out, "python");
    conforms(out, KH_CHANNEL_SHELL, "kernel_info_reply");
    conforms(out, KH_CHANNEL_CONTROL, "kernel_info_reply");
    ok(strstr(text(out), "\"protocol_version\":\"5.5\""), "kernel_info_reply");
}

int
main(void)
{
    struct kh_buf out = KH_BUF_INIT;

    iopub(&out);
    replies(&out);
    kh_buf_release(&out);
    return done();
}
