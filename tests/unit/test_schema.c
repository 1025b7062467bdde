#include "protocol/jupyter/schema.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/jupyter/wire.h"
#include "base/clean.h"
#include "tests/tap.h"

/* want: what the content becomes; why: or what the error says. */
static const struct {
    const char *type, *content, *want, *why;
} requests[] = {
    {"execute_request", "{\"code\":\"1\"}",
     "{\"silent\":false,\"store_history\":true,\"user_expressions\":{},"
     "\"allow_stdin\":false,\"stop_on_error\":true,\"code\":\"1\"}",
     NULL},
    {"execute_request", " {\"code\":\"1\" , \"silent\":true}",
     "{\"store_history\":false,\"user_expressions\":{},\"allow_stdin\":false,"
     "\"stop_on_error\":true,\"code\":\"1\" , \"silent\":true}",
     NULL},
    {"execute_request",
     "{\"code\":\"\",\"silent\":false,\"store_history\":false,\"user_expressions\":{},"
     "\"allow_stdin\":true,\"stop_on_error\":false,\"x\":1}",
     "{\"code\":\"\",\"silent\":false,\"store_history\":false,\"user_expressions\":{},"
     "\"allow_stdin\":true,\"stop_on_error\":false,\"x\":1}",
     NULL},
    {"execute_request", "{}", NULL, "content has no 'code'"},
    {"execute_request", "{\"code\":1}", NULL, "'code' must be a string"},
    {"execute_request", "{\"code\":null}", NULL, "'code' must be a string"},
    {"execute_request", "{\"code\":\"\",\"silent\":0}", NULL,
     "'silent' must be true or false"},
    {"execute_request", "{\"code\":\"\",\"user_expressions\":[]}", NULL,
     "'user_expressions' must be an object"},
    {"execute_request", "{\"code\":\"\",\"code\":\"\"}", NULL, "'code' twice"},
    {"execute_request", "[]", NULL, "an object is expected"},
    {"execute_request", "{\"code\":\"\"", NULL, "wrong at byte 10"},
    {"kernel_info_request", "{}", "{}", NULL},
    {"shutdown_request", "{}", "{\"restart\":false}", NULL},
    {"shutdown_request", "\t{ }\n", "{\"restart\":false}\n", NULL},
    {"shutdown_request", "{\"restart\":1}", NULL, "'restart' must be true or false"},
    {"complete_request", "{\"code\":\"a\",\"cursor_pos\":1}",
     "{\"code\":\"a\",\"cursor_pos\":1}", NULL},
    {"complete_request", "{\"code\":\"a\",\"cursor_pos\":-1}", NULL,
     "an integer from 0"},
    {"complete_request", "{\"code\":\"a\",\"cursor_pos\":2147483648}", NULL,
     "an integer from 0"},
    {"inspect_request", "{\"code\":\"a\",\"cursor_pos\":1}",
     "{\"detail_level\":0,\"code\":\"a\",\"cursor_pos\":1}", NULL},
    {"history_request", "{\"hist_access_type\":\"tail\",\"n\":5,\"session\":null}",
     "{\"output\":false,\"raw\":true,\"hist_access_type\":\"tail\",\"n\":5,\"session\":"
     "null}",
     NULL},
    {"history_request", "{\"hist_access_type\":\"all\"}", NULL,
     "must be one of: range tail search"},
    {"history_request", "{\"hist_access_type\":\"range tail\"}", NULL,
     "must be one of"},
    {"history_request", "{\"hist_access_type\":\"\"}", NULL, "must be one of"},
    {"comm_msg", "{\"comm_id\":\"c\"}", "{\"data\":{},\"comm_id\":\"c\"}", NULL},
    {"comm_info_request", "{\"target_name\":null}", "{\"target_name\":null}", NULL},
    {"input_reply", "{\"value\":7}", NULL, "'value' must be a string"},
};

static void
applying(void)
{
    struct kh_json_value values[KH_SCHEMA_FIELDS_MAX];
    struct kh_buf scratch = KH_BUF_INIT;
    size_t i;

    for (i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        struct kh_slice content;
        struct kh_error err = {.text = ""};
        char got[512] = "";
        int r = kh_schema_apply(kh_schema_request(requests[i].type),
                                kh_slice_text(requests[i].content), &scratch, &content,
                                values, &err);

        if (r == 0)
            snprintf(got, sizeof(got), "%.*s", (int)content.size,
                     (const char *)content.data);
        if (requests[i].want)
            is_str(got, requests[i].want, "%s %s %s", requests[i].type,
                   requests[i].content, err.text);
        else
            ok(r == -EBADMSG && strstr(err.text, requests[i].why) &&
                   strstr(err.text, requests[i].type),
               "%s %s: %s", requests[i].type, requests[i].content, err.text);
    }
    kh_buf_release(&scratch);
}

static void
reading(void)
{
    const struct kh_schema *row = kh_schema_request("execute_request");
    struct kh_json_value values[KH_SCHEMA_FIELDS_MAX], code;
    struct kh_buf scratch = KH_BUF_INIT;
    struct kh_slice content;

    kh_schema_apply(row, kh_slice_text("{\"code\":\"x=1\",\"silent\":true}"), &scratch,
                    &content, values, NULL);
    ok(kh_schema_true(row, values, "silent"), "silent was given");
    ok(!kh_schema_true(row, values, "store_history"), "so history is not stored");
    ok(kh_schema_true(row, values, "stop_on_error"), "a preset can be read");
    code = kh_schema_value(row, values, "code");
    ok(code.type == KH_JSON_STRING && code.text.size == 5, "the code too");
    kh_buf_release(&scratch);
}

#define BUNDLE "{\"data\":{\"text/plain\":\"x\"},\"metadata\":{}"

/* why NULL: it may be published. */
static const struct {
    enum kh_channel channel;
    const char *type, *metadata, *content;
    size_t buffers;
    const char *why;
} messages[] = {
    {KH_CHANNEL_IOPUB, "stream", "", "{\"name\":\"stdout\",\"text\":\"\"}", 0, NULL},
    {KH_CHANNEL_IOPUB, "stream", "{}", "{\"name\":\"stdin\",\"text\":\"\"}", 0,
     "one of"},
    {KH_CHANNEL_IOPUB, "stream", "{}", "{\"name\":\"stdout\"}", 0, "has no 'text'"},
    {KH_CHANNEL_IOPUB, "stream", "null", "{\"name\":\"stdout\",\"text\":\"\"}", 0,
     "metadata: JSON is not an object"},
    {KH_CHANNEL_IOPUB, "stream", "{", "{\"name\":\"stdout\",\"text\":\"\"}", 0,
     "metadata"},
    {KH_CHANNEL_IOPUB, "stream", "{}", "{\"name\":\"stdout\",\"text\":\"\"}", 1,
     "buffers are too many"},
    {KH_CHANNEL_SHELL, "stream", "{}", "{\"name\":\"stdout\",\"text\":\"\"}", 0,
     "must not send stream on shell"},
    {KH_CHANNEL_IOPUB, "display_data", "{}", BUNDLE "}", 0, NULL},
    {KH_CHANNEL_IOPUB, "display_data", "{}", BUNDLE ",\"transient\":{}}", 2, NULL},
    {KH_CHANNEL_IOPUB, "display_data", "{}", BUNDLE ",\"transient\":null}", 0,
     "'transient' must be an object"},
    {KH_CHANNEL_IOPUB, "display_data", "{}",
     BUNDLE ",\"transient\":{\"display_id\":[]}}", 0, "'display_id' is a string"},
    {KH_CHANNEL_IOPUB, "display_data", "{}",
     BUNDLE ",\"transient\":{\"display_id\":\"a\",\"display_id\":1}}", 0, "transient"},
    {KH_CHANNEL_IOPUB, "display_data", "{}", "{\"data\":{},\"metadata\":null}", 0,
     "'metadata' must be an object"},
    {KH_CHANNEL_IOPUB, "display_data", "{}",
     "{\"data\":{},\"metadata\":{},\"m\\u0065tadata\":null}", 0, "'metadata' twice"},
    {KH_CHANNEL_IOPUB, "display_data", "{}", "{\"data\":{}}", 0, "has no 'metadata'"},
    {KH_CHANNEL_IOPUB, "display_data", "{}",
     "{\"data\":{\"text/plain\":5},\"metadata\":{}}", 0, "MIME types and texts"},
    {KH_CHANNEL_IOPUB, "display_data", "{}",
     "{\"data\":{\"text/plain\":[\"a\",\"b\"],\"application/json\":5,"
     "\"application/vnd.vega.v5+json\":{\"a\":[1]},\"application/x+json; v=1\":null},"
     "\"metadata\":{}}",
     0, NULL},
    {KH_CHANNEL_IOPUB, "display_data", "{}",
     "{\"data\":{\"text/html\":[1]},\"metadata\":{}}", 0, "MIME types and texts"},
    {KH_CHANNEL_IOPUB, "update_display_data", "{}",
     BUNDLE ",\"transient\":{\"display_id\":\"a\"}}", 0, NULL},
    {KH_CHANNEL_IOPUB, "update_display_data", "{}", BUNDLE ",\"transient\":{}}", 0,
     "string 'display_id'"},
    {KH_CHANNEL_IOPUB, "update_display_data", "{}", BUNDLE "}", 0, "no 'transient'"},
    {KH_CHANNEL_IOPUB, "execute_result", "{}", BUNDLE ",\"execution_count\":1}", 0,
     NULL},
    {KH_CHANNEL_IOPUB, "execute_result", "{}", BUNDLE ",\"execution_count\":null}", 0,
     "'execution_count' must be an integer"},
    {KH_CHANNEL_IOPUB, "execute_input", "{}", "{\"code\":\"\",\"execution_count\":1}",
     0, NULL},
    {KH_CHANNEL_IOPUB, "error", "{}",
     "{\"ename\":\"E\",\"evalue\":\"\",\"traceback\":[\"a\"]}", 0, NULL},
    {KH_CHANNEL_IOPUB, "error", "{}",
     "{\"ename\":\"E\",\"evalue\":\"\",\"traceback\":[\"a\",1]}", 0,
     "array of strings"},
    {KH_CHANNEL_IOPUB, "error", "{}",
     "{\"ename\":\"E\",\"evalue\":\"\",\"traceback\":\"a\"}", 0, "array of strings"},
    {KH_CHANNEL_IOPUB, "clear_output", "{}", "{\"wait\":false}", 0, NULL},
    {KH_CHANNEL_IOPUB, "clear_output", "{}", "{\"wait\":\"no\"}", 0, "true or false"},
    {KH_CHANNEL_IOPUB, "comm_open", "{}",
     "{\"comm_id\":\"c\",\"target_name\":\"t\",\"data\":{},\"target_module\":null}",
     KH_WIRE_BUFFERS_MAX, NULL},
    {KH_CHANNEL_IOPUB, "comm_msg", "{}", "{\"comm_id\":\"c\",\"data\":1}",
     KH_WIRE_BUFFERS_MAX + 1, "buffers are too many"},
    {KH_CHANNEL_IOPUB, "status", "{}", "{\"execution_state\":\"idle\"}", 0,
     "must not send status"},
    {KH_CHANNEL_IOPUB, "iopub_welcome", "{}", "{\"subscription\":\"\"}", 0, "must not"},
    {KH_CHANNEL_IOPUB, "shutdown_reply", "{}", "{\"status\":\"ok\",\"restart\":false}",
     0, "must not send shutdown_reply"},
    {KH_CHANNEL_IOPUB, "execute_reply", "{}", "{\"status\":\"ok\"}", 0,
     "must not send execute_reply on iopub"},
    {KH_CHANNEL_IOPUB, "nonsense\n", "{}", "{}", 0, "'nonsense\\x0a' is not known"},
    {KH_CHANNEL_IOPUB, "", "{}", "{}", 0, "is not known"},
    {KH_CHANNEL_IOPUB, "streams", "{}", "{\"name\":\"stdout\",\"text\":\"\"}", 0,
     "known"},
    {KH_CHANNEL_SHELL, "execute_reply", "{}",
     "{\"status\":\"ok\",\"execution_count\":1,\"payload\":[],\"user_expressions\":{}}",
     0, NULL},
    {KH_CHANNEL_SHELL, "execute_reply", "{}", "{\"status\":\"ok\"}", 0,
     "has no 'execution_count'"},
    {KH_CHANNEL_SHELL, "execute_reply", "{}", "{\"execution_count\":1}", 0,
     "no 'status'"},
    {KH_CHANNEL_SHELL, "execute_reply", "{}", "{\"status\":\"done\"}", 0, "one of"},
    {KH_CHANNEL_SHELL, "execute_reply", "{}", "{\"status\":\"aborted\"}", 0, NULL},
    {KH_CHANNEL_SHELL, "execute_reply", "{}", "{\"status\":\"error\"}", 0,
     "no 'ename'"},
    {KH_CHANNEL_SHELL, "execute_reply", "{}",
     "{\"status\":\"error\",\"ename\":\"\",\"evalue\":\"\",\"traceback\":[]}", 0, NULL},
    {KH_CHANNEL_SHELL, "execute_reply", "{}",
     "{\"status\":\"error\",\"ename\":\"\",\"evalue\":\"\",\"traceback\":[],"
     "\"execution_count\":\"1\"}",
     0, "'execution_count' must be"},
    {KH_CHANNEL_SHELL, "execute_reply", "{}",
     "{\"status\":\"ok\",\"execution_count\":1,\"payload\":[{\"source\":\"page\"}]}", 0,
     NULL},
    {KH_CHANNEL_SHELL, "execute_reply", "{}",
     "{\"status\":\"ok\",\"execution_count\":1,\"payload\":[{}]}", 0, "'source'"},
    {KH_CHANNEL_SHELL, "is_complete_reply", "{}", "{\"status\":\"incomplete\"}", 0,
     NULL},
    {KH_CHANNEL_SHELL, "is_complete_reply", "{}", "{\"status\":\"ok\"}", 0, "one of"},
    {KH_CHANNEL_CONTROL, "kernel_info_reply", "{}",
     "{\"status\":\"ok\",\"protocol_version\":\"5.5\",\"implementation\":\"i\","
     "\"implementation_version\":\"1\",\"language_info\":{\"name\":\"p\"},\"banner\":"
     "\"\"}",
     0, NULL},
    {KH_CHANNEL_SHELL, "kernel_info_reply", "{}",
     "{\"status\":\"ok\",\"protocol_version\":\"5.5\",\"implementation\":\"i\","
     "\"implementation_version\":\"1\",\"language_info\":{},\"banner\":\"\"}",
     0, "string 'name'"},
};

static void
checking(void)
{
    size_t i;

    for (i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
        const struct kh_schema *row = NULL;
        struct kh_error err = {.text = "accepted"};
        int r = kh_schema_check(messages[i].channel, kh_slice_text(messages[i].type),
                                kh_slice_text(messages[i].metadata),
                                kh_slice_text(messages[i].content), messages[i].buffers,
                                &row, &err);

        if (messages[i].why)
            ok(r == -EBADMSG && !row && strstr(err.text, messages[i].why), "%zu: %s", i,
               err.text);
        else
            ok(r == 0 && row && !strcmp(row->msg_type, messages[i].type), "%zu: %s %s",
               i, messages[i].type, err.text);
    }
}

/* Those that only the gateway sends: about checkpoints. */
static bool
is_own(const struct kh_schema *row)
{
    static const char *const own[] = {"checkpoint_request", "rollback_request",
                                      "checkpoints_request", "forget_request"};
    size_t i;

    for (i = 0; i < KH_COUNT(own); i++)
        if (!strcmp(row->msg_type, own[i]))
            return true;
    return false;
}

/* What a table cannot say by its types. */
static void
tables(void)
{
    const struct kh_schema *row, *other;
    size_t i, missing = 0, twice = 0, presets = 0;

    for (row = kh_schema_requests; row->msg_type; row++) {
        missing += row->reply && !kh_schema_kernel(kh_slice_text(row->reply));
        missing += !row->channels && !is_own(row);
        for (other = row + 1; other->msg_type; other++)
            twice += !strcmp(row->msg_type, other->msg_type);
        for (i = 0; i < KH_SCHEMA_FIELDS_MAX && row->field[i].name; i++) {
            const char *preset = row->field[i].preset;

            presets += preset && row->field[i].required;
            presets +=
                preset && preset[0] != '!' &&
                kh_json_check(kh_slice_text(preset), KH_JSON_ANY, NULL, NULL) < 0;
        }
    }
    is_int(missing, 0, "every reply has a row, every request a channel");
    for (row = kh_schema_messages; row->msg_type; row++)
        for (other = row + 1; other->msg_type; other++)
            twice += !strcmp(row->msg_type, other->msg_type);
    is_int(twice, 0, "no type has two rows");
    is_int(presets, 0, "presets are JSON, for fields that may be absent");
    ok(!kh_schema_request("nonsense") && !kh_schema_request(""), "others have none");
    is_int(kh_schema_request("interrupt_request")->channels, 1u << KH_CHANNEL_CONTROL,
           "an interrupt comes on control only");
}

static void
channels(void)
{
    int i, right = 0;

    for (i = 0; i < KH_CHANNELS; i++)
        right += kh_channel_find(kh_channel_name(i)) == i;
    is_int(right, KH_CHANNELS, "channels have names");
    ok(!kh_channel_name(KH_CHANNELS) && kh_channel_find("Shell") < 0,
       "others have none");
}

int
main(void)
{
    applying();
    reading();
    checking();
    tables();
    channels();
    return done();
}
