/* schema: what each message type of the Jupyter protocol must look like.
 *
 * Two tables. Requests: on which channels a client may send it, what answers
 * it, and its content's fields with types and presets. Kernel messages: what a
 * (hostile) runner may publish or reply; the gateway checks them before they go
 * into frames, because clients crash on a null metadata or a missing field.
 * A new message type is a new row; unknown fields are allowed everywhere, as
 * the protocol says. Pure.
 */
#ifndef KH_JUPYTER_SCHEMA_H
#define KH_JUPYTER_SCHEMA_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/jupyter/json.h"
#include "protocol/link/frame.h"

#define KH_SCHEMA_FIELDS_MAX 12

/* The five sockets; bits for kh_schema.channels. The values are also the
 * indexes of kh_connfile.port. */
enum kh_channel {
    KH_CHANNEL_SHELL = 0,
    KH_CHANNEL_IOPUB = 1,
    KH_CHANNEL_STDIN = 2,
    KH_CHANNEL_CONTROL = 3,
    KH_CHANNEL_HB = 4,
    KH_CHANNELS = 5
};

/* "shell"...; NULL for another number. -1 for another name. */
const char *kh_channel_name(enum kh_channel channel);
int kh_channel_find(const char *name);

/* Types beyond those of JSON: values that clients take apart further. */
enum kh_schema_type {
    KH_SCHEMA_COUNT = 256,       /* an integer, 0 .. 2^31-1 */
    KH_SCHEMA_STRINGS = 512,     /* an array of strings */
    KH_SCHEMA_BUNDLE = 1024,     /* MIME type to data: text, or an array of texts; any
                                    value where the type says json */
    KH_SCHEMA_TRANSIENT = 2048,  /* an object; display_id, if any, a string */
    KH_SCHEMA_DISPLAY_ID = 4096, /* an object with the string display_id */
    KH_SCHEMA_PAYLOAD = 8192,    /* an array of objects with the string source */
    KH_SCHEMA_LANGUAGE = 16384,  /* an object with the string name */
};

struct kh_schema_field {
    const char *name;
    unsigned types; /* enum kh_json_type and enum kh_schema_type */
    bool required;
    const char *preset; /* JSON put in where it is absent; "!name": the opposite
                           of that boolean; NULL: it may stay absent */
    const char *values; /* allowed strings, each between spaces: " a b "; NULL:
                           any */
};

enum kh_schema_flag {
    KH_SCHEMA_HOST = 1,    /* only the gateway itself says this, never a runner */
    KH_SCHEMA_REPLY = 2,   /* has status ok, error or aborted; with error only
                              ename, evalue and traceback are required, with
                              aborted nothing */
    KH_SCHEMA_BUFFERS = 4, /* buffers have a meaning here; elsewhere a runner's are
                              refused */
};

struct kh_schema {
    const char *msg_type;
    unsigned channels; /* 1u << enum kh_channel, or-ed: where it may travel; 0: only
                          the gateway itself sends it */
    unsigned flags;    /* enum kh_schema_flag */
    const char *reply; /* requests: msg_type of the reply; NULL: has none */
    struct kh_schema_field field[KH_SCHEMA_FIELDS_MAX]; /* ends at name NULL */
};

/* The tables; they end at msg_type NULL. */
extern const struct kh_schema kh_schema_requests[];
extern const struct kh_schema kh_schema_messages[];

/* The row of a request type, or NULL: a client's message of a type that is not
 * known gets busy and idle, and no reply. */
const struct kh_schema *kh_schema_request(const char *msg_type);

/* Checks the content of a request and fills in presets. *ret_content is CONTENT
 * itself when nothing had to be added, else the bytes now in SCRATCH (emptied
 * first). RET_VALUES has KH_SCHEMA_FIELDS_MAX elements, in the row's order,
 * pointing into CONTENT or a preset; read them by kh_schema_true and
 * kh_schema_value. -EBADMSG names the field, for an error reply. */
int kh_schema_apply(const struct kh_schema *row, struct kh_slice content,
                    struct kh_buf *scratch, struct kh_slice *ret_content,
                    struct kh_json_value *ret_values, struct kh_error *err);

/* The value of the field NAME of a row (type 0: absent), and whether it is
 * true. A NAME that the row has not aborts. */
struct kh_json_value kh_schema_value(const struct kh_schema *row,
                                     const struct kh_json_value *values,
                                     const char *name);
bool kh_schema_true(const struct kh_schema *row, const struct kh_json_value *values,
                    const char *name);

/* The row of a message that a kernel sends, or NULL. */
const struct kh_schema *kh_schema_kernel(struct kh_slice msg_type);

/* Checks what a runner wants published (CHANNEL iopub) or replied (shell,
 * control): a known type of that channel that is not the host's own; metadata
 * and content objects with the required fields, types and values; at most
 * KH_WIRE_BUFFERS_MAX buffers and only where they mean something. Returns 0 and
 * the row, or -EBADMSG with a text that names the field. An empty metadata
 * slice is right and means {}. */
int kh_schema_check(enum kh_channel channel, struct kh_slice msg_type,
                    struct kh_slice metadata, struct kh_slice content, size_t buffers,
                    const struct kh_schema **ret_row, struct kh_error *err);

#endif
