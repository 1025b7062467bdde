#include "kernelhost/http/server_own.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define HEAD_MAX (64u * 1024) /* memory of a connection for its head */

static void
run_soon(struct kh_http *http)
{
    if (!http->closing)
        kh_timer_start(http->timer, 0, 0);
}

static void
set_timer(struct kh_http *http)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (http->closing)
        return;
    if (MHD_get_timeout(http->daemon, &ms) == MHD_YES)
        kh_timer_start(http->timer, ms, 0);
}

static void
run(struct kh_http *http)
{
    http->running = true;
    kh_timer_stop(http->timer);
    MHD_run(http->daemon);
    http->running = false;
    set_timer(http);
}

static void
on_timer(void *arg)
{
    run(arg);
}

static void
on_epoll(void *arg, unsigned events)
{
    (void)events;
    run(arg);
}

void
kh_http_resume(struct kh_http_request *request)
{
    /* Without an answer there is nothing to go on with. */
    if (!request->suspended || !request->connection ||
        (request->state == KH_HTTP_HANDLING && !request->finished))
        return;
    request->suspended = false;
    MHD_resume_connection(request->connection);
    run_soon(request->http);
}

void
kh_http_suspend(struct kh_http_request *request)
{
    request->suspended = true;
    MHD_suspend_connection(request->connection);
}

void
kh_http_free_request(struct kh_http_request *request)
{
    struct kh_http *http = request->http;

    if (request->prev)
        request->prev->next = request->next;
    else
        http->requests = request->next;
    if (request->next)
        request->next->prev = request->prev;
    http->bodies -= kh_buf_len(&request->body);
    kh_watch_close(request->hangup);
    kh_buf_release(&request->body);
    kh_buf_release(&request->out);
    if (request->response)
        MHD_destroy_response(request->response);
    free(request->method);
    free(request->path);
    free(request);
}

static void
tell_gone(struct kh_http_request *request)
{
    void (*gone)(void *arg) = STEAL_PTR(request->gone);

    if (gone && !request->finished)
        gone(request->gone_arg);
}

/* The client closed while nothing was being sent: libmicrohttpd does not look at
 * a suspended connection. A half-closed one counts as gone too. */
static void
on_hangup(void *arg, unsigned events)
{
    struct kh_http_request *request = arg;

    (void)events;
    kh_watch_close(STEAL_PTR(request->hangup));
    tell_gone(request);
}

void
kh_http_watch_hangup(struct kh_http_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    if (!info)
        return;
    request->hangup =
        kh_watch_new(request->http->loop, info->connect_fd, on_hangup, request, NULL);
    if (request->hangup)
        kh_watch_set(request->hangup, KH_WATCH_HANGUP);
}

static void
on_completed(void *arg, struct MHD_Connection *connection, void **slot,
             enum MHD_RequestTerminationCode code)
{
    struct kh_http_request *request = *slot;

    (void)arg;
    (void)connection;
    (void)code;
    *slot = NULL;
    if (!request)
        return;
    kh_watch_close(STEAL_PTR(request->hangup));
    request->connection = NULL;
    request->suspended = false;
    if (request->state == KH_HTTP_RECEIVING || request->finished) {
        kh_http_free_request(request);
        return;
    }
    tell_gone(request);
}

static struct kh_http_request *
new_request(struct kh_http *http, struct MHD_Connection *connection, const char *method,
            const char *path)
{
    struct kh_http_request *request = kh_xcalloc(1, sizeof(*request));

    request->http = http;
    request->connection = connection;
    request->method = kh_xstrdup(method);
    request->path = kh_xstrdup(path);
    request->next = http->requests;
    if (http->requests)
        http->requests->prev = request;
    http->requests = request;
    return request;
}

static void
take_body(struct kh_http_request *request, const char *data, size_t size)
{
    struct kh_http *http = request->http;

    if (request->refused)
        return;
    if (kh_buf_len(&request->body) + size > KH_HTTP_BODY_MAX)
        request->refused = MHD_HTTP_CONTENT_TOO_LARGE;
    else if (http->bodies + size > KH_HTTP_BODIES_MAX)
        request->refused = MHD_HTTP_SERVICE_UNAVAILABLE;
    if (request->refused) {
        http->bodies -= kh_buf_len(&request->body);
        kh_buf_release(&request->body);
        return;
    }
    http->bodies += size;
    kh_buf_add(&request->body, data, size);
}

static void
refuse(struct kh_http_request *request)
{
    const char *text =
        request->refused == MHD_HTTP_CONTENT_TOO_LARGE
            ? "{\"message\":\"the body is over 64 MiB\",\"code\":\"too_large\"}\n"
            : "{\"message\":\"too many large requests at once\","
              "\"code\":\"unavailable\"}\n";

    kh_http_reply(request, request->refused, "application/json", kh_slice_text(text));
}

static enum MHD_Result
queue(struct kh_http_request *request)
{
    return MHD_queue_response(request->connection, request->status, request->response);
}

/* The request is whole: the handler answers now or later. */
static enum MHD_Result
handle(struct kh_http_request *request)
{
    request->state = KH_HTTP_HANDLING;
    if (request->refused)
        refuse(request);
    else
        request->http->handler(request->http->arg, request);
    if (request->state != KH_HTTP_HANDLING)
        return queue(request);
    kh_http_watch_hangup(request);
    kh_http_suspend(request);
    return MHD_YES;
}

static enum MHD_Result
on_access(void *arg, struct MHD_Connection *connection, const char *url,
          const char *method, const char *version, const char *data, size_t *size,
          void **slot)
{
    struct kh_http_request *request = *slot;

    (void)version;
    if (((struct kh_http *)arg)->closing)
        return MHD_NO;
    if (!request) {
        *slot = new_request(arg, connection, method, url);
        return MHD_YES;
    }
    if (*size) {
        take_body(request, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (request->state == KH_HTTP_RECEIVING)
        return handle(request);
    return queue(request);
}

static void
on_log(void *arg, const char *format, va_list args)
{
    char line[300], clean[400];

    (void)arg;
    vsnprintf(line, sizeof(line), format, args);
    kh_log(KH_LOG_DEBUG, "http %s",
           kh_log_clean(line, strcspn(line, "\n"), clean, sizeof(clean)));
}

/* No path of ours has anything to escape. A decoded %00 would end the path there,
 * and a decoded %2f would begin another part of it. */
static size_t
leave_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg;
    (void)connection;
    return strlen(text);
}

struct kh_http *
kh_http_new(struct kh_loop *loop, int listen_fd,
            void (*handler)(void *arg, struct kh_http_request *request), void *arg,
            struct kh_error *err)
{
    AUTO_FD int owned = listen_fd;
    struct kh_http *http = kh_xcalloc(1, sizeof(*http));
    const union MHD_DaemonInfo *info;

    kh_fd_nonblock(listen_fd, true);
    kh_fd_cloexec(listen_fd, true);
    http->loop = loop;
    http->handler = handler;
    http->arg = arg;
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_access, http, MHD_OPTION_LISTEN_SOCKET, listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, KH_HTTP_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, KH_HTTP_IDLE_S, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, NULL, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_END);
    info = http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)
                        : NULL;
    if (!info) {
        kh_fail(err, EINVAL, "cannot serve HTTP on descriptor %d", listen_fd);
        free(http);
        return NULL;
    }
    (void)STEAL_FD(owned); /* libmicrohttpd's from here on */
    http->timer = kh_timer_new(loop, on_timer, http);
    http->watch = kh_watch_new(loop, info->epoll_fd, on_epoll, http, err);
    if (!http->watch) {
        kh_http_free(http);
        return NULL;
    }
    kh_watch_set(http->watch, KH_WATCH_READ);
    run_soon(http);
    return http;
}

/* libmicrohttpd must not be stopped while a connection is suspended. */
static void
cut_all(struct kh_http *http)
{
    struct kh_http_request *request, *next;

    for (request = http->requests; request; request = next) {
        next = request->next;
        tell_gone(request);
    }
    for (request = http->requests; request; request = request->next) {
        request->aborted = true;
        if (request->state == KH_HTTP_HANDLING) {
            request->response =
                MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
            request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
            request->state = KH_HTTP_REPLYING;
        }
        kh_http_resume(request);
    }
}

void
kh_http_free(struct kh_http *http)
{
    struct kh_http_request *request, *next;

    if (!http)
        return;
    http->closing = true;
    kh_watch_close(http->watch);
    kh_timer_close(http->timer);
    cut_all(http);
    MHD_run(http->daemon);
    /* One that had nothing to say just now is suspended again. */
    for (request = http->requests; request; request = request->next)
        if (request->suspended && request->connection) {
            request->suspended = false;
            MHD_resume_connection(request->connection);
        }
    MHD_stop_daemon(http->daemon);
    for (request = http->requests; request; request = next) {
        next = request->next;
        kh_http_free_request(request);
    }
    free(http);
}
