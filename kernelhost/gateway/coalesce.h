/* coalesce: what a program printed, gathered into stream messages of good size.
 *
 * 20,000 prints must not become 20,000 signed messages, and the first line of a
 * slow loop must not wait. So: the first bytes after a pause go out at once;
 * what follows within KH_COALESCE_MS is gathered until KH_COALESCE_BYTES are
 * there, the time is over, or another message wants to go out (kh_coalesce_flush).
 * Raw bytes are made well-formed UTF-8 on the way; a character that was cut by a
 * read waits for its rest. One a kernel, embedded. Pure: the caller brings the
 * time.
 */
#ifndef KH_GATEWAY_COALESCE_H
#define KH_GATEWAY_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "protocol/jupyter/utf8.h"
#include "protocol/link/frame.h"
#include "protocol/link/runner.h"

#define KH_COALESCE_BYTES (64u * 1024)
#define KH_COALESCE_MS    50

struct kh_coalesce {
    struct kh_buf text;    /* well-formed, of one request and stream */
    struct kh_utf8 cut[2]; /* stdout, stderr */
    uint64_t request;      /* whose text it is */
    enum kh_stream stream;
    uint64_t emitted; /* when something last went out; ms */
    bool any;         /* emitted is set */
    /* Positions (position.h), for the caller's book-keeping: of the next byte to be
     * fed, which the caller sets; behind the last byte in `text`; behind the last
     * one emitted. Bytes of a character that is not whole are in neither. */
    uint64_t next, end, said;
    void (*emit)(void *arg, uint64_t request, enum kh_stream stream,
                 struct kh_slice text);
    void *arg;
};

/* EMIT gets each message's text, at most 3 * KH_COALESCE_BYTES long. */
void kh_coalesce_init(struct kh_coalesce *coalesce,
                      void (*emit)(void *arg, uint64_t request, enum kh_stream stream,
                                   struct kh_slice text),
                      void *arg);
void kh_coalesce_release(struct kh_coalesce *coalesce);

/* Takes bytes that REQUEST printed to STREAM (KH_STREAM_STDOUT or _STDERR). */
void kh_coalesce_feed(struct kh_coalesce *coalesce, uint64_t now, uint64_t request,
                      enum kh_stream stream, struct kh_slice bytes);

/* Emits what is gathered; kh_coalesce_end also replaces characters that were cut
 * (before idle, before a restart). */
void kh_coalesce_flush(struct kh_coalesce *coalesce, uint64_t now);
void kh_coalesce_end(struct kh_coalesce *coalesce, uint64_t now);

/* True when something was fed and has not been emitted. */
bool kh_coalesce_waits(const struct kh_coalesce *coalesce);

/* Milliseconds from now until kh_coalesce_flush is due; -1 when nothing waits. */
long kh_coalesce_due(const struct kh_coalesce *coalesce, uint64_t now);

#endif
