#include "protocol/jupyter/wire.h"

#include <errno.h>
#include <string.h>

#include "base/clean.h"
#include "protocol/jupyter/json.h"

/* Frames from the delimiter on: delimiter, signature, four of JSON. */
#define FIXED 6

const char *
kh_wire_fault_name(enum kh_wire_fault fault)
{
    static const char *const names[KH_WIRE_FAULTS] = {
        [KH_WIRE_OK] = "ok",
        [KH_WIRE_MALFORMED] = "malformed",
        [KH_WIRE_TOO_LARGE] = "too_large",
        [KH_WIRE_UNSIGNED] = "unsigned",
        [KH_WIRE_BAD_SIGNATURE] = "bad_signature",
        [KH_WIRE_REPLAYED] = "replayed",
        [KH_WIRE_BAD_JSON] = "bad_json",
        [KH_WIRE_BAD_HEADER] = "bad_header",
    };

    return (unsigned)fault < KH_WIRE_FAULTS ? names[fault] : "unknown";
}

static enum kh_wire_fault
fault(enum kh_wire_fault what, struct kh_error *err, const char *text)
{
    kh_fail(err, what == KH_WIRE_TOO_LARGE ? EMSGSIZE : EBADMSG,
            "message is refused: %s", text);
    return what;
}

static bool
is_delimiter(struct kh_slice frame)
{
    return frame.size == strlen(KH_WIRE_DELIMITER) &&
           !memcmp(frame.data, KH_WIRE_DELIMITER, frame.size);
}

/* Sizes and shape, before anything is computed over the bytes. */
static enum kh_wire_fault
lay_out(const struct kh_slice *frames, size_t count, struct kh_wire *wire,
        struct kh_error *err)
{
    size_t total = 0, at, i;

    if (count > KH_WIRE_FRAMES_MAX)
        return fault(KH_WIRE_TOO_LARGE, err, "it has too many frames");
    for (i = 0; i < count; i++) {
        if (frames[i].size > KH_WIRE_MAX - total)
            return fault(KH_WIRE_TOO_LARGE, err, "it has too many bytes");
        total += frames[i].size;
    }
    for (at = 0; at < count && !is_delimiter(frames[at]); at++) {
        if (at == KH_WIRE_IDENTS_MAX)
            return fault(KH_WIRE_MALFORMED, err, "no delimiter after 8 identities");
        if (!frames[at].size || frames[at].size > KH_WIRE_IDENT_MAX)
            return fault(KH_WIRE_MALFORMED, err, "an identity is not 1 to 255 bytes");
        wire->ident[at] = frames[at];
    }
    if (at == count)
        return fault(KH_WIRE_MALFORMED, err, "the delimiter is missing");
    if (count - at < FIXED)
        return fault(KH_WIRE_MALFORMED, err, "frames are missing");
    wire->ident_count = at;
    wire->header = frames[at + 2];
    wire->parent_header = frames[at + 3];
    wire->metadata = frames[at + 4];
    wire->content = frames[at + 5];
    wire->buffer_count = count - at - FIXED;
    if (wire->buffer_count > KH_WIRE_BUFFERS_MAX)
        return fault(KH_WIRE_TOO_LARGE, err, "it has too many buffers");
    for (i = 0; i < wire->buffer_count; i++)
        wire->buffer[i] = frames[at + FIXED + i];
    if (wire->header.size > KH_HEADER_MAX || wire->parent_header.size > KH_HEADER_MAX)
        return fault(KH_WIRE_TOO_LARGE, err, "a header has too many bytes");
    return KH_WIRE_OK;
}

/* Who sent it, and whether he sent it before. */
static enum kh_wire_fault
authenticate(const struct kh_wire *wire, struct kh_slice signature,
             struct kh_signer *signer, struct kh_replay *replay, struct kh_error *err)
{
    const struct kh_slice json[4] = {wire->header, wire->parent_header, wire->metadata,
                                     wire->content};

    if (kh_signer_is_open(signer))
        return KH_WIRE_OK;
    if (!signature.size)
        return fault(KH_WIRE_UNSIGNED, err, "it is not signed");
    if (!kh_signer_verify(signer, json, signature))
        return fault(KH_WIRE_BAD_SIGNATURE, err, "its signature is wrong");
    if (replay && !kh_replay_note(replay, signature))
        return fault(KH_WIRE_REPLAYED, err, "it was sent before");
    return KH_WIRE_OK;
}

static enum kh_wire_fault
check_json(struct kh_wire *wire, struct kh_error *err)
{
    const struct {
        const char *name;
        struct kh_slice text;
    } parts[] = {
        {"header", wire->header},
        {"parent_header", wire->parent_header},
        {"metadata", wire->metadata},
        {"content", wire->content},
    };
    size_t i;

    for (i = 0; i < KH_COUNT(parts); i++) {
        if (kh_json_check(parts[i].text, KH_JSON_OBJECT, NULL, err) == 0)
            continue;
        kh_fail_in(err, "message is refused: %s", parts[i].name);
        return KH_WIRE_BAD_JSON;
    }
    if (kh_header_parse(wire->header, &wire->head, err) < 0) {
        kh_fail_in(err, "message is refused");
        return KH_WIRE_BAD_HEADER;
    }
    return KH_WIRE_OK;
}

enum kh_wire_fault
kh_wire_parse(const struct kh_slice *frames, size_t count, struct kh_signer *signer,
              struct kh_replay *replay, struct kh_wire *ret_wire, struct kh_error *err)
{
    enum kh_wire_fault what = lay_out(frames, count, ret_wire, err);

    if (what == KH_WIRE_OK)
        what = authenticate(ret_wire, frames[ret_wire->ident_count + 1], signer, replay,
                            err);
    if (what == KH_WIRE_OK)
        what = check_json(ret_wire, err);
    return what;
}

static struct kh_slice
or_empty(struct kh_slice json)
{
    return json.size ? json : kh_slice_text("{}");
}

static bool
fits(const struct kh_wire_out *out)
{
    size_t total = 0, i;

    for (i = 0; i < out->count; i++) {
        if (out->frame[i].size > KH_WIRE_MAX - total)
            return false;
        total += out->frame[i].size;
    }
    return true;
}

int
kh_wire_compose(const struct kh_wire *wire, struct kh_signer *signer,
                struct kh_wire_out *ret_out, struct kh_error *err)
{
    struct kh_slice *frame = ret_out->frame, *json;
    size_t i;

    if (wire->ident_count > KH_WIRE_IDENTS_MAX ||
        wire->buffer_count > KH_WIRE_BUFFERS_MAX)
        return kh_fail(err, EMSGSIZE, "message has too many identities or buffers");
    for (i = 0; i < wire->ident_count; i++)
        *frame++ = wire->ident[i];
    *frame++ = kh_slice_text(KH_WIRE_DELIMITER);
    json = ++frame;
    *frame++ = wire->header;
    *frame++ = or_empty(wire->parent_header);
    *frame++ = or_empty(wire->metadata);
    *frame++ = or_empty(wire->content);
    for (i = 0; i < wire->buffer_count; i++)
        *frame++ = wire->buffer[i];
    ret_out->count = (size_t)(frame - ret_out->frame);
    json[-1] = (struct kh_slice){ret_out->signature, 0};
    if (!fits(ret_out))
        return kh_fail(err, EMSGSIZE, "message is larger than %u bytes", KH_WIRE_MAX);
    kh_signer_sign(signer, json, ret_out->signature);
    json[-1].size = strlen(ret_out->signature);
    return 0;
}
