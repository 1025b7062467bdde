/* server_own: the inside of the HTTP server, shared by server.c (connections) and
 * answer.c (what handlers do with a request). Nobody else includes it.
 */
#ifndef KH_HTTP_SERVER_OWN_H
#define KH_HTTP_SERVER_OWN_H

#include <microhttpd.h>

#include "kernelhost/http/server.h"

#define KH_HTTP_VALUE_SIZE 48

struct kh_http {
    struct kh_loop *loop;
    struct MHD_Daemon *daemon;
    struct kh_watch *watch; /* libmicrohttpd's epoll descriptor */
    struct kh_timer *timer; /* its timeouts, and "run soon" */
    void (*handler)(void *arg, struct kh_http_request *request);
    void *arg;
    struct kh_http_request *requests;
    size_t bodies; /* bytes of all bodies held */
    bool running;  /* inside MHD_run */
    bool closing;
};

enum kh_http_state {
    KH_HTTP_RECEIVING,
    KH_HTTP_HANDLING,
    KH_HTTP_REPLYING,
    KH_HTTP_STREAMING,
};

struct kh_http_request {
    struct kh_http *http;
    struct kh_http_request *next, *prev;
    struct MHD_Connection *connection; /* NULL: completed */
    enum kh_http_state state;
    char *method, *path;
    struct kh_buf body;
    unsigned refused; /* status of a refusal while receiving */
    struct MHD_Response *response;
    unsigned status;
    const char *header; /* one more line of its head, or NULL */
    char header_value[KH_HTTP_VALUE_SIZE];
    struct kh_buf out;
    uint64_t sent; /* bytes of the stream that went to the connection */
    bool suspended;
    bool finished; /* by the handler */
    bool aborted;
    struct kh_watch *hangup;
    void (*gone)(void *arg);
    void *gone_arg;
    void (*drained)(void *arg);
    void *drained_arg;
};

/* server.c. resume lets a suspended connection go on if it has something to go on
 * with; suspend and watch_hangup are for one that waits for a handler. */
void kh_http_resume(struct kh_http_request *request);
void kh_http_suspend(struct kh_http_request *request);
void kh_http_watch_hangup(struct kh_http_request *request);
void kh_http_free_request(struct kh_http_request *request);

#endif
