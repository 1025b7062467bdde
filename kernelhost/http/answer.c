/* answer: what a handler does with its request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernelhost/http/server_own.h"

#define BLOCK_SIZE (64u * 1024) /* of a streamed body */

const char *
kh_http_method(const struct kh_http_request *request)
{
    return request->method;
}

const char *
kh_http_path(const struct kh_http_request *request)
{
    return request->path;
}

void
kh_http_query(const struct kh_http_request *request, const char *name, char *out,
              size_t size)
{
    const char *value = request->connection
                            ? MHD_lookup_connection_value(request->connection,
                                                          MHD_GET_ARGUMENT_KIND, name)
                            : NULL;

    snprintf(out, size, "%s", value ? value : "");
}

struct kh_slice
kh_http_body(const struct kh_http_request *request)
{
    return (struct kh_slice){kh_buf_ptr(&request->body), kh_buf_len(&request->body)};
}

void
kh_http_on_gone(struct kh_http_request *request, void (*fn)(void *arg), void *arg)
{
    request->gone = fn;
    request->gone_arg = arg;
}

/* The handler is done with it: it stays until libmicrohttpd is, too. */
static void
finish(struct kh_http_request *request)
{
    request->finished = true;
    if (!request->connection)
        kh_http_free_request(request);
    else
        kh_http_resume(request);
}

void
kh_http_header(struct kh_http_request *request, const char *name, const char *value)
{
    request->header = name;
    snprintf(request->header_value, sizeof(request->header_value), "%s", value);
}

static void
answer(struct kh_http_request *request, unsigned status, const char *type,
       struct MHD_Response *response, enum kh_http_state state)
{
    if (type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (request->header)
        MHD_add_response_header(response, request->header, request->header_value);
    request->response = response;
    request->status = status;
    request->state = state;
}

void
kh_http_reply(struct kh_http_request *request, unsigned status, const char *type,
              struct kh_slice body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.size, (void *)body.data, MHD_RESPMEM_MUST_COPY);

    if (!response)
        abort(); /* only ENOMEM */
    answer(request, status, type, response, KH_HTTP_REPLYING);
    finish(request);
}

static ssize_t
on_read(void *arg, uint64_t position, char *out, size_t size)
{
    struct kh_http_request *request = arg;
    size_t have = kh_buf_len(&request->out);

    request->sent = position; /* it asks for more when it has written all it had */
    if (request->aborted)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (have) {
        size_t n = have < size ? have : size;

        memcpy(out, kh_buf_ptr(&request->out), n);
        kh_buf_consume(&request->out, n);
        if (!request->finished && request->drained)
            request->drained(request->drained_arg);
        return (ssize_t)n;
    }
    if (!request->finished && request->drained)
        request->drained(request->drained_arg);
    if (request->finished)
        return MHD_CONTENT_READER_END_OF_STREAM;
    kh_http_suspend(request);
    return 0;
}

void
kh_http_stream(struct kh_http_request *request, const char *type,
               void (*drained)(void *arg), void *arg)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_read, request, NULL);

    if (!response)
        abort(); /* only ENOMEM */
    request->drained = drained;
    request->drained_arg = arg;
    answer(request, MHD_HTTP_OK, type, response, KH_HTTP_STREAMING);
    if (!request->hangup && request->connection)
        kh_http_watch_hangup(request);
    kh_http_resume(request);
}

void
kh_http_write(struct kh_http_request *request, struct kh_slice bytes)
{
    if (!request->connection)
        return;
    kh_buf_add(&request->out, bytes.data, bytes.size);
    kh_http_resume(request);
}

size_t
kh_http_waiting(const struct kh_http_request *request)
{
    return kh_buf_len(&request->out);
}

uint64_t
kh_http_sent(const struct kh_http_request *request)
{
    return request->sent;
}

void
kh_http_end(struct kh_http_request *request)
{
    finish(request);
}

void
kh_http_abort(struct kh_http_request *request)
{
    request->aborted = true;
    finish(request);
}
