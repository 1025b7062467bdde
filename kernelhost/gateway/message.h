/* message: one Jupyter message of a kernel on its way to those who listen.
 *
 * Slices only: it borrows everything and lives as long as the call it is given
 * to. Its JSON has been checked, so it may be put into frames as it is.
 */
#ifndef KH_GATEWAY_MESSAGE_H
#define KH_GATEWAY_MESSAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "protocol/jupyter/schema.h"
#include "protocol/link/frame.h"

struct kh_message {
    enum kh_channel channel; /* iopub, shell or control */
    const char *msg_type;
    uint64_t request; /* the gateway's number of what it answers; 0: none */
    struct kh_slice header;
    struct kh_slice parent_header; /* empty: {} */
    struct kh_slice metadata;      /* empty: {} */
    struct kh_slice content;
    const struct kh_slice *buffer;
    size_t buffer_count;
};

/* Appends the message as one line of JSON ("channel", "header"... and "buffers"
 * in base64 if it has any) with its newline. */
void kh_message_line(const struct kh_message *message, struct kh_buf *out);

/* A listener on one kernel. Embedded in its owner, which must take it off
 * (kh_kernel_unlisten) before it goes away. */
struct kh_sink {
    /* Every iopub message of the kernel, and the replies to requests that were
     * submitted with this sink. */
    void (*message)(struct kh_sink *sink, const struct kh_message *message);
    /* The kernel is going away; the sink has been taken off. */
    void (*gone)(struct kh_sink *sink);
    struct kh_sink *next;
};

#endif
