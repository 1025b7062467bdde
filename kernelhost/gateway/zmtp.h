/* zmtp: finds our messages in the bytes that libzmq writes to one connection.
 *
 * ZMTP 3: a greeting of 64 bytes, then frames: a byte of flags, the length in one
 * byte or eight, the content. A Jupyter message is a run of frames that ends with
 * one without the flag MORE; two frames behind the delimiter is the header, whose
 * msg_id we made: a session, '_', and the position (position.h). The scanner tells
 * where in the bytes each such message ends. Bytes that make no sense to it (an older
 * ZMTP) give no messages. One a connection, embedded. Pure.
 */
#ifndef KH_GATEWAY_ZMTP_H
#define KH_GATEWAY_ZMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KH_ZMTP_HEAD 72 /* of a header frame: what holds the position */

struct kh_zmtp {
    uint32_t greeting;  /* bytes of it seen */
    uint8_t flags;      /* of the frame */
    uint8_t length_got; /* bytes of its length seen */
    uint8_t headed;     /* frames to come until the header; 0: not that near */
    bool in_body;
    bool lost;         /* no ZMTP 3 */
    uint64_t length;   /* of the frame */
    uint64_t body_got; /* bytes of its content seen */
    uint32_t kept;     /* of them in `head` */
    uint64_t position; /* of the message; 0: not known (yet) */
    char head[KH_ZMTP_HEAD];
};

struct kh_zmtp_end {
    uint32_t offset; /* behind the last byte of the message */
    uint64_t position;
};

/* True when a connection begins with these bytes. */
bool kh_zmtp_begins(const void *data, size_t size);

/* Takes bytes as they are written, from the first of the connection on, and fills
 * ENDS. It stops early when there is no room in it; returns how many bytes it took
 * and *RET_COUNT messages. */
size_t kh_zmtp_scan(struct kh_zmtp *zmtp, const void *data, size_t size,
                    struct kh_zmtp_end *ends, size_t max, size_t *ret_count);

#endif
