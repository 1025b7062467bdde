/* wire: a Jupyter message as the frames of a ZeroMQ multipart message.
 *
 *     identity... | <IDS|MSG> | signature | header | parent_header | metadata |
 *     content | buffer...
 *
 * Parsing takes the frames as slices and borrows from them. Every limit is
 * checked before the signature, the signature before any JSON, and all JSON
 * before the caller sees it: what it returns was signed with the kernel's key,
 * is no replay, and its four JSON frames are objects. What is wrong is never
 * answered, only counted and logged once for each fault; hence the enum.
 * Composing copies nothing. Pure: no socket, no libzmq.
 */
#ifndef KH_JUPYTER_WIRE_H
#define KH_JUPYTER_WIRE_H

#include <stddef.h>

#include "base/error.h"
#include "protocol/jupyter/header.h"
#include "protocol/jupyter/replay.h"
#include "protocol/jupyter/sign.h"
#include "protocol/link/frame.h"

#define KH_WIRE_DELIMITER   "<IDS|MSG>"
#define KH_WIRE_IDENTS_MAX  8u
#define KH_WIRE_IDENT_MAX   255u
#define KH_WIRE_BUFFERS_MAX (KH_FRAME_SLICES_MAX - 4)
#define KH_WIRE_FRAMES_MAX  (KH_WIRE_IDENTS_MAX + 6 + KH_WIRE_BUFFERS_MAX)
/* A whole message, so that it fits a frame to init with room to spare. */
#define KH_WIRE_MAX (KH_FRAME_MAX - 64u * 1024)

enum kh_wire_fault {
    KH_WIRE_OK = 0,
    KH_WIRE_MALFORMED, /* frames missing, no delimiter, bad identity */
    KH_WIRE_TOO_LARGE, /* a limit above */
    KH_WIRE_UNSIGNED,  /* the signature frame is empty */
    KH_WIRE_BAD_SIGNATURE,
    KH_WIRE_REPLAYED,
    KH_WIRE_BAD_JSON,   /* a JSON frame is no object within limits */
    KH_WIRE_BAD_HEADER, /* a field is missing, of another type, too long */
    KH_WIRE_FAULTS
};

/* "malformed", "bad_signature"...: for logs and metrics. */
const char *kh_wire_fault_name(enum kh_wire_fault fault);

struct kh_wire {
    size_t ident_count;
    struct kh_slice ident[KH_WIRE_IDENTS_MAX];
    struct kh_slice header; /* raw: the parent_header of every answer */
    struct kh_slice parent_header;
    struct kh_slice metadata;
    struct kh_slice content;
    size_t buffer_count;
    struct kh_slice buffer[KH_WIRE_BUFFERS_MAX];
    struct kh_header head; /* header, read */
};

/* Takes COUNT frames apart. REPLAY may be NULL (a test, a client). Returns
 * KH_WIRE_OK and fills *ret_wire, whose slices point into FRAMES' bytes; or the
 * fault, with a text in *err, and what is in *ret_wire then means nothing. */
enum kh_wire_fault kh_wire_parse(const struct kh_slice *frames, size_t count,
                                 struct kh_signer *signer, struct kh_replay *replay,
                                 struct kh_wire *ret_wire, struct kh_error *err);

/* The frames of a message to send, in order. Holds the signature; borrows the
 * rest from what it was composed of. Do not copy the struct. */
struct kh_wire_out {
    size_t count;
    struct kh_slice frame[KH_WIRE_FRAMES_MAX];
    char signature[KH_SIGN_SIZE];
};

/* Signs a message and lays out its frames. Of *wire it reads ident (routing
 * identities, or the topic), header, parent_header, metadata, content and
 * buffer; the JSON frames must be right already (an empty slice of
 * parent_header, metadata or content stands for {}). -EMSGSIZE over a limit. */
int kh_wire_compose(const struct kh_wire *wire, struct kh_signer *signer,
                    struct kh_wire_out *ret_out, struct kh_error *err);

#endif
