/* header: the header of a Jupyter message, read from a peer or made by us.
 *
 * Read: every field is bounded and copied into a struct kh_header. A request's
 * header also lives on as its raw bytes, because the parent_header of all that
 * answers it must be a verbatim copy.
 *
 * Made: a struct kh_origin is one incarnation of one kernel. All its messages
 * carry one session (JupyterLab drops what is queued when the session changes,
 * so a restart needs a new origin). msg_id is session "_" and a number that the owner
 * keeps (the same message has the same number when it is made again), or session "_x"
 * counter: never the same twice. Embedded by value, owns nothing.
 */
#ifndef KH_JUPYTER_HEADER_H
#define KH_JUPYTER_HEADER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/jupyter/uuid.h"
#include "protocol/link/frame.h"

#define KH_PROTOCOL_VERSION "5.5"
#define KH_HEADER_MAX       8192 /* bytes of a header frame */
#define KH_DATE_SIZE        28   /* YYYY-MM-DDTHH:MM:SS.ffffffZ and its NUL */

struct kh_header {
    char msg_id[257];
    char session[257];
    char username[257];
    char msg_type[65];
    char date[65];
    char version[17];
    char subshell_id[257]; /* "" for the main shell */
};

/* Reads a header frame. msg_id, session and msg_type must be there and not be
 * empty; the others may be absent; version must be 5.x. msg_type is
 * [A-Za-z0-9_.-]+ so that it may stand in topics and logs. -EBADMSG says which field is
 * wrong, and how. */
int kh_header_parse(struct kh_slice json, struct kh_header *ret_header,
                    struct kh_error *err);

struct kh_origin {
    char session[KH_UUID_SIZE];
    char username[33];
    uint64_t count; /* messages made that have no number of the owner's */
};

/* A new random session. */
void kh_origin_init(struct kh_origin *origin, const char *username);

/* Appends the header (JSON) of the next message, dated now. MSG_TYPE is ours or
 * was checked. NUMBER is the owner's, 0 for none. */
void kh_origin_header(struct kh_origin *origin, const char *msg_type, uint64_t number,
                      struct kh_buf *out);

/* The time now as the protocol and the HTTP API write it: UTC, microseconds, Z
 * (clients parse it with a fixed format). kh_date_text: for a given time. */
void kh_date_now(char ret_date[KH_DATE_SIZE]);
void kh_date_text(int64_t seconds, long nanoseconds, char ret_date[KH_DATE_SIZE]);

#endif
