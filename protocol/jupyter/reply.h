/* reply: the contents of the messages that the gateway makes by itself.
 *
 * Each function appends one JSON object to OUT. Foreign text may hold any
 * bytes (kh_json_add_string repairs it); the caller bounds its length. What
 * a runner says is not made here but passed on. Pure.
 */
#ifndef KH_JUPYTER_REPLY_H
#define KH_JUPYTER_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "protocol/jupyter/connfile.h"
#include "protocol/link/frame.h"

/* status: "starting", "busy", "idle"; "restarting" and "dead" only on
 * WebSockets. */
void kh_reply_state(struct kh_buf *out, const char *execution_state);

/* stream: NAME is "stdout" or "stderr". */
void kh_reply_stream(struct kh_buf *out, const char *name, struct kh_slice text);

/* error, on iopub. The traceback has one line: "ename: evalue". */
void kh_reply_error(struct kh_buf *out, const char *ename, const char *evalue);

/* iopub_welcome: SUBSCRIPTION is the topic a subscriber asked for. */
void kh_reply_welcome(struct kh_buf *out, struct kh_slice subscription);

/* {"status": "ok"}: interrupt_reply and the like. */
void kh_reply_ok(struct kh_buf *out);

/* A reply with status error, for the request MSG_TYPE. An execute_reply also
 * has execution_count, user_expressions and payload. */
void kh_reply_failed(struct kh_buf *out, const char *msg_type, const char *ename,
                     const char *evalue, int64_t execution_count);

/* execute_reply of a request that an earlier error took out of the queue. The
 * specification wants "error" now, but clients look for "aborted". */
void kh_reply_aborted(struct kh_buf *out, int64_t execution_count);

void kh_reply_shutdown(struct kh_buf *out, bool restart);

/* kernel_info_reply before the runner has said its own; LANGUAGE "python". */
void kh_reply_kernel_info(struct kh_buf *out, const char *language);

/* connect_reply: the five ports. */
void kh_reply_connect(struct kh_buf *out, const struct kh_connfile *file);

#endif
