#include "kernelhost/gateway/message.h"

#include <inttypes.h>
#include <string.h>

#include "kernelhost/gateway/base64.h"

/* JSON may hold line breaks between its tokens, and only there: in a file of
 * lines they are spaces. */
static void
add_json(struct kh_buf *out, const char *name, struct kh_slice json)
{
    size_t at, i;
    char *text;

    kh_buf_addf(out, ",\"%s\":", name);
    if (!json.size) {
        kh_buf_add(out, "{}", 2);
        return;
    }
    at = kh_buf_len(out);
    kh_buf_add(out, json.data, json.size);
    text = kh_buf_ptr(out) + at;
    for (i = 0; i < json.size; i++)
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
}

static void
add_buffers(struct kh_buf *out, const struct kh_message *message)
{
    size_t i;

    kh_buf_addf(out, ",\"buffers\":[");
    for (i = 0; i < message->buffer_count; i++) {
        kh_buf_addf(out, "%s\"", i ? "," : "");
        kh_base64_add(out, message->buffer[i]);
        kh_buf_add(out, "\"", 1);
    }
    kh_buf_add(out, "]", 1);
}

void
kh_message_line(const struct kh_message *message, struct kh_buf *out)
{
    kh_buf_addf(out, "{\"channel\":\"%s\"", kh_channel_name(message->channel));
    add_json(out, "header", message->header);
    add_json(out, "parent_header", message->parent_header);
    add_json(out, "metadata", message->metadata);
    add_json(out, "content", message->content);
    if (message->buffer_count)
        add_buffers(out, message);
    if (message->position)
        kh_buf_addf(out, ",\"cursor\":\"%" PRIu64 "\"", message->position);
    kh_buf_add(out, "}\n", 2);
}

bool
kh_message_is_idle(const struct kh_message *message)
{
    static const char *const names[] = {"execution_state"};
    struct kh_json_value value;
    char state[16];

    return message->channel == KH_CHANNEL_IOPUB &&
           !strcmp(message->msg_type, "status") &&
           kh_json_find(message->content, names, 1, &value, NULL) == 0 &&
           kh_json_text(value, state, sizeof(state)) > 0 && !strcmp(state, "idle");
}
