/* http: requests to the host over STATE/run/api.sock.
 *
 * A struct kh_http is one place to ask (a state directory) with its kept
 * connection. Requests block. While a stream runs, the caller may watch
 * descriptors of its own (a signalfd, a pidfd): that is how Ctrl-C reaches the
 * kernel while a cell runs. Answers come from the gateway, which is exposed to
 * hostile bytes: their sizes are bounded here.
 */
#ifndef KH_CLI_HTTP_H
#define KH_CLI_HTTP_H

#include <jansson.h>

#include "base/clean.h"
#include "base/buf.h"
#include "base/error.h"

struct kh_http;

#define KH_HTTP_BODY_MAX (64u * 1024 * 1024)  /* what the host takes in a request */
#define KH_HTTP_LINE_MAX (128u * 1024 * 1024) /* one NDJSON line or whole answer */

/* Never fails for want of a host: the first request does. STATE is copied. */
struct kh_http *kh_http_new(const char *state);
void kh_http_free(struct kh_http *http);
KH_DEFINE_CLEANUP(kh_http)

/* Bounds every later request as a whole; 0: no bound, as at first. */
void kh_http_set_timeout(struct kh_http *http, long milliseconds);

/* One request with a JSON body (may be NULL) and a JSON answer. Returns the
 * HTTP status (200..299) and a new reference in *ret_answer (may be NULL; json
 * null when the answer is empty). Errors: -EHOSTDOWN when no host runs; for the
 * statuses of doc/api.md -EINVAL, -ENOENT, -EEXIST, -EMSGSIZE, -EAGAIN or -EIO
 * with the host's text. PATH is sent as it is: see kh_http_path. */
int kh_http_call(struct kh_http *http, const char *method, const char *path,
                 json_t *body, json_t **ret_answer, struct kh_error *err);

/* GET PATH, whose answer is text; the caller releases *RET_TEXT. Errors as above. */
int kh_http_text_of(struct kh_http *http, const char *path, struct kh_buf *ret_text,
                    struct kh_error *err);

/* Called for each line of a stream: the parsed object, and its text (SIZE bytes
 * without newline). Returns 0 to go on, 1 to leave the stream, or -errno. */
typedef int kh_http_line_fn(json_t *line, const char *text, size_t size, void *arg,
                            struct kh_error *err);

/* A descriptor to watch while a stream runs; READY is called when it can be
 * read and returns like kh_http_line_fn. It may use another kh_http. */
struct kh_http_watch {
    int fd; /* -1: not used */
    int (*ready)(int fd, void *arg, struct kh_error *err);
};

/* POSTs BODY and gives every line of the NDJSON answer to LINE. Returns 0 at
 * the end of the answer, 1 when a callback left, or -errno (theirs, or as
 * kh_http_call). */
int kh_http_stream(struct kh_http *http, const char *path, json_t *body,
                   const struct kh_http_watch *watches, unsigned count,
                   kh_http_line_fn *line, void *arg, struct kh_error *err);

/* A line of the head of the answer whose stream runs, for its callbacks; "" when the
 * answer has none of that name. Valid during the callback. */
const char *kh_http_header(struct kh_http *http, const char *name);

/* -EINVAL when NAME is no name of a WHAT ("sandbox", "snapshot"). */
int kh_http_check_name(const char *what, const char *name, struct kh_error *err);

/* "/v1/sandboxes/NAME" and then REST, if not NULL, behind a slash. -EINVAL
 * when NAME is no sandbox name. */
int kh_http_path(const char *name, const char *rest, char **ret_path,
                 struct kh_error *err);

/* Sets a member of OBJECT to TEXT; -EINVAL when that is not UTF-8. WHAT names it in
 * the error. */
int kh_http_set_text(json_t *object, const char *member, const char *what,
                     const char *text, struct kh_error *err);

/* "" when the member is missing or no text; never NULL. */
const char *kh_http_text(const json_t *object, const char *member);

#endif
