#include "protocol/jupyter/wire.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/data.h"
#include "tests/tap.h"

/* One directory of tests/data/wire, in memory. */
struct message {
    struct kh_slice frame[KH_WIRE_FRAMES_MAX];
    size_t count;
    struct kh_signer *signer;
};

static void
message_free(struct message *message)
{
    while (message->count)
        free((void *)message->frame[--message->count].data);
    kh_signer_free(message->signer);
}

static struct message
message_read(const char *kind, const char *name)
{
    struct message message = {.count = 0};
    struct kh_slice key = data_file("wire/%s/%s/key", kind, name);
    struct kh_slice scheme = data_file("wire/%s/%s/scheme", kind, name);

    for (;; message.count++) {
        struct kh_slice frame =
            data_file("wire/%s/%s/frame-%02zu", kind, name, message.count);

        if (!frame.data)
            break;
        message.frame[message.count] = frame;
    }
    kh_signer_new(scheme.data, key, &message.signer, NULL);
    free((void *)key.data);
    free((void *)scheme.data);
    return message;
}

static void
valid(const char *name)
{
    struct message m = message_read("valid", name);
    struct kh_slice expect = data_file("wire/valid/%s/expect", name);
    AUTO(kh_replay) struct kh_replay *replay = kh_replay_new(64);
    struct kh_wire *wire = kh_xcalloc(1, sizeof(*wire));
    struct kh_wire_out *out = kh_xcalloc(1, sizeof(*out));
    struct kh_error err = {.text = ""};
    char got[600];
    size_t i, same = 0;

    is_int(kh_wire_parse(m.frame, m.count, m.signer, replay, wire, &err), KH_WIRE_OK,
           "%s is taken: %s", name, err.text);
    snprintf(got, sizeof(got), "%s %s %zu %zu", wire->head.msg_type, wire->head.msg_id,
             wire->ident_count, wire->buffer_count);
    is_str(got, (const char *)expect.data, "%s is read right", name);
    is_int(kh_wire_parse(m.frame, m.count, m.signer, replay, wire, &err),
           KH_WIRE_REPLAYED, "%s is taken once", name);
    kh_wire_parse(m.frame, m.count, m.signer, NULL, wire, NULL);
    is_int(kh_wire_compose(wire, m.signer, out, &err), 0, "%s is composed", name);
    for (i = 0; i < m.count && i < out->count; i++)
        same += out->frame[i].size == m.frame[i].size &&
                !memcmp(out->frame[i].data, m.frame[i].data, m.frame[i].size);
    ok(same == m.count && out->count == m.count, "%s: the same frames come out", name);
    free((void *)expect.data);
    free(wire);
    free(out);
    message_free(&m);
}

static void
invalid(const char *name)
{
    struct message m = message_read("invalid", name);
    struct kh_slice want = data_file("wire/invalid/%s/fault", name);
    struct kh_wire *wire = kh_xcalloc(1, sizeof(*wire));
    struct kh_error err = {.text = ""};
    enum kh_wire_fault fault =
        kh_wire_parse(m.frame, m.count, m.signer, NULL, wire, &err);

    is_str(kh_wire_fault_name(fault), (const char *)want.data, "%s: %s", name,
           err.text);
    free((void *)want.data);
    free(wire);
    message_free(&m);
}

static void
each(const char *directory, void (*check)(const char *name))
{
    struct dirent **names;
    int count = data_list(directory, &names), i;

    for (i = 0; i < count; i++)
        check(names[i]->d_name);
    data_list_free(names, count);
}

/* A message whose fault is found before a later one would be: what is not
 * signed is not parsed, a replay is not parsed again. */
static void
limits(void)
{
    AUTO(kh_signer) struct kh_signer *signer = NULL;
    struct kh_slice *frame = kh_xcalloc(100000, sizeof(*frame));
    struct kh_wire *wire = kh_xcalloc(1, sizeof(*wire));
    struct kh_error err;
    size_t i;

    kh_signer_new(NULL, kh_slice_text("k"), &signer, NULL);
    frame[0] = kh_slice_text(KH_WIRE_DELIMITER);
    for (i = 1; i < 100000; i++)
        frame[i] = kh_slice_text("{}");
    is_int(kh_wire_parse(frame, 100000, signer, NULL, wire, &err), KH_WIRE_TOO_LARGE,
           "100,000 frames are too many");
    is_int(kh_wire_parse(frame, 6 + KH_WIRE_BUFFERS_MAX, signer, NULL, wire, &err),
           KH_WIRE_BAD_SIGNATURE, "as many buffers as allowed pass that check");
    is_int(kh_wire_parse(frame, 7 + KH_WIRE_BUFFERS_MAX, signer, NULL, wire, &err),
           KH_WIRE_TOO_LARGE, "one more does not");
    frame[5] = (struct kh_slice){"", KH_WIRE_MAX}; /* refused before it is read */
    is_int(kh_wire_parse(frame, 6, signer, NULL, wire, &err), KH_WIRE_TOO_LARGE,
           "too many bytes are refused unread");
    frame[5].size = SIZE_MAX;
    is_int(kh_wire_parse(frame, 6, signer, NULL, wire, &err), KH_WIRE_TOO_LARGE,
           "sizes do not wrap");
    free(frame);
    free(wire);
}

static void
composing(void)
{
    AUTO(kh_signer) struct kh_signer *signer = NULL;
    AUTO(kh_signer) struct kh_signer *open = kh_signer_new_open();
    struct kh_wire *wire = kh_xcalloc(1, sizeof(*wire));
    struct kh_wire_out *out = kh_xcalloc(1, sizeof(*out));
    struct kh_origin origin;
    struct kh_buf header = KH_BUF_INIT;
    struct kh_error err;

    kh_signer_new(NULL, kh_slice_text("k"), &signer, NULL);
    kh_origin_init(&origin, "kernel");
    kh_origin_header(&origin, "status", 0, &header);
    wire->ident_count = 1;
    wire->ident[0] = kh_slice_text("kernel.1.status");
    wire->header = (struct kh_slice){kh_buf_ptr(&header), kh_buf_len(&header)};
    wire->content = kh_slice_text("{\"execution_state\":\"busy\"}");
    is_int(kh_wire_compose(wire, signer, out, &err), 0, "a message is composed");
    ok(out->count == 7 && out->frame[4].size == 2 &&
           !memcmp(out->frame[4].data, "{}", 2),
       "absent JSON frames are {}");
    is_int(kh_wire_parse(out->frame, out->count, signer, NULL, wire, &err), KH_WIRE_OK,
           "and can be taken apart");
    is_int(kh_wire_parse(out->frame, out->count, open, NULL, wire, &err), KH_WIRE_OK,
           "without a key nothing is checked");
    is_int(kh_wire_compose(wire, open, out, &err), 0, "and nothing signed");
    is_int(out->frame[2].size, 0, "the signature frame is empty");
    wire->content.size = KH_WIRE_MAX;
    is_int(kh_wire_compose(wire, signer, out, &err), -EMSGSIZE,
           "too large a message is not composed");
    wire->buffer_count = KH_WIRE_BUFFERS_MAX + 1;
    is_int(kh_wire_compose(wire, signer, out, &err), -EMSGSIZE, "nor too many buffers");
    kh_buf_release(&header);
    free(wire);
    free(out);
}

int
main(void)
{
    each("wire/valid", valid);
    each("wire/invalid", invalid);
    limits();
    composing();
    is_str(kh_wire_fault_name(KH_WIRE_FAULTS), "unknown", "no other fault has a name");
    return done();
}
