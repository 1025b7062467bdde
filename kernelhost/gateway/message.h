/* message: one Jupyter message of a kernel on its way to those who listen.
 *
 * Slices only: it borrows everything and lives as long as the call it is given
 * to. Its JSON has been checked, so it may be put into frames as it is.
 */
#ifndef KH_GATEWAY_MESSAGE_H
#define KH_GATEWAY_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "protocol/jupyter/schema.h"
#include "protocol/link/frame.h"

struct kh_message {
    enum kh_channel channel; /* iopub, shell or control */
    const char *msg_type;
    uint64_t request;  /* the gateway's number of what it answers; 0: none */
    uint64_t position; /* position.h; 0: it comes from no journal */
    struct kh_slice header;
    struct kh_slice parent_header; /* empty: {} */
    struct kh_slice metadata;      /* empty: {} */
    struct kh_slice content;
    const struct kh_slice *buffer;
    size_t buffer_count;
};

/* Appends the message as one line of JSON ("channel", "header"..., "buffers" in base64
 * if it has any, and "cursor", the position, if it has one) with its newline. */
void kh_message_line(const struct kh_message *message, struct kh_buf *out);

/* True for the status idle, which is the last that a request brings. */
bool kh_message_is_idle(const struct kh_message *message);

/* A listener on one kernel. Embedded in its owner, which must take it off
 * (kh_kernel_unlisten) before it goes away. */
struct kh_sink {
    /* What the client calls its request, so that it can ask for the rest of it; NULL:
     * it will not. */
    const char *client;
    /* Every iopub message of the kernel, and the replies to requests that were
     * submitted with this sink. */
    void (*message)(struct kh_sink *sink, const struct kh_message *message);
    /* The kernel is going away; the sink has been taken off. */
    void (*gone)(struct kh_sink *sink);
    /* The position up to which everything is in the client's hands; KH_POSITION_END:
     * all that this sink was given. NULL: it always is. */
    uint64_t (*written)(struct kh_sink *sink);
    /* Messages up to here are not given to it: its client has them. */
    uint64_t after;
    struct kh_sink *next;
};

#endif
