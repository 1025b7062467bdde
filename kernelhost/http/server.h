/* server: HTTP/1.1 on a listening socket, driven by the gateway's loop.
 *
 * Hides libmicrohttpd, the only file that includes it being server.c. Each request
 * is read whole (at most KH_HTTP_BODY_MAX), given to one handler, and answered at
 * any later time by one reply or one stream. Limits on heads, bodies, connections
 * and time are here; what is in a body is the handlers' business.
 *
 * A request belongs to its handler until kh_http_reply, kh_http_end or
 * kh_http_abort; each request gets exactly one of them, also when the client has
 * gone, and must not be touched afterwards.
 */
#ifndef KH_HTTP_SERVER_H
#define KH_HTTP_SERVER_H

#include "kernelhost/gateway/loop.h"
#include "protocol/link/frame.h"

#define KH_HTTP_BODY_MAX    (64u * 1024 * 1024)
#define KH_HTTP_BODIES_MAX  (256u * 1024 * 1024) /* of all requests together */
#define KH_HTTP_CONNECTIONS 1024u
#define KH_HTTP_IDLE_S      60u /* a connection on which nothing moves */

struct kh_http;
struct kh_http_request;

/* Takes LISTEN_FD. HANDLER is called for every request. */
struct kh_http *kh_http_new(struct kh_loop *loop, int listen_fd,
                            void (*handler)(void *arg, struct kh_http_request *request),
                            void *arg, struct kh_error *err);

/* Cuts every connection; handlers hear `gone` and must still finish. */
void kh_http_free(struct kh_http *http);

const char *kh_http_method(const struct kh_http_request *request);
const char *kh_http_path(const struct kh_http_request *request);

/* What stands behind "?NAME=" or "&NAME=", as it was sent; "" when nothing does. Cut
 * to SIZE, so a longer value than is right still has a length that is wrong. */
void kh_http_query(const struct kh_http_request *request, const char *name, char *out,
                   size_t size);
struct kh_slice kh_http_body(const struct kh_http_request *request);

/* FN is called once if the client goes away before the request is finished. */
void kh_http_on_gone(struct kh_http_request *request, void (*fn)(void *arg), void *arg);

/* The whole answer; the body is copied. TYPE NULL: no body. */
void kh_http_reply(struct kh_http_request *request, unsigned status, const char *type,
                   struct kh_slice body);

/* One more line of the head of the answer that comes next; both texts are our own. */
void kh_http_header(struct kh_http_request *request, const char *name,
                    const char *value);

/* A body that is written piece by piece. DRAINED is called whenever the client has
 * taken some of it; kh_http_waiting tells how much it has not. */
void kh_http_stream(struct kh_http_request *request, const char *type,
                    void (*drained)(void *arg), void *arg);
void kh_http_write(struct kh_http_request *request, struct kh_slice bytes);
size_t kh_http_waiting(const struct kh_http_request *request);

/* Bytes of the stream that the connection has surely taken. DRAINED is called once more
 * when that is all. */
uint64_t kh_http_sent(const struct kh_http_request *request);
void kh_http_end(struct kh_http_request *request);

/* Ends a stream so that the client can tell that it is not whole. */
void kh_http_abort(struct kh_http_request *request);

#endif
