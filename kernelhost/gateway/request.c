#include "kernelhost/gateway/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BUCKETS 256u /* a power of two */

struct past {
    uint64_t id;
    char *header;
    size_t size;
};

struct kh_requests {
    struct kh_request *bucket[BUCKETS];
    struct kh_request *first, *last;
    size_t count;
    size_t bytes;
    struct past past[KH_REQUESTS_PAST];
    size_t past_at; /* the oldest entry, overwritten next */
};

static struct kh_request **
bucket_of(struct kh_requests *requests, uint64_t id)
{
    return &requests->bucket[id & (BUCKETS - 1)];
}

struct kh_requests *
kh_requests_new(void)
{
    return kh_xcalloc(1, sizeof(struct kh_requests));
}

void
kh_requests_free(struct kh_requests *requests)
{
    size_t i;

    if (!requests)
        return;
    while (requests->first) {
        struct kh_request *request = requests->first;

        requests->first = request->next;
        free(request);
    }
    for (i = 0; i < KH_REQUESTS_PAST; i++)
        free(requests->past[i].header);
    free(requests);
}

/* One allocation: the struct, then identities and header. */
static struct kh_request *
make(const struct kh_slice *ident, size_t ident_count, struct kh_slice header)
{
    struct kh_request *request;
    size_t bytes = sizeof(*request) + header.size, i;
    char *at;

    for (i = 0; i < ident_count; i++)
        bytes += ident[i].size;
    request = kh_xcalloc(1, bytes);
    request->bytes = bytes;
    at = (char *)(request + 1);
    for (i = 0; i < ident_count; i++) {
        if (ident[i].size)
            memcpy(at, ident[i].data, ident[i].size);
        request->ident[i] = (struct kh_slice){at, ident[i].size};
        at += ident[i].size;
    }
    request->ident_count = ident_count;
    if (header.size)
        memcpy(at, header.data, header.size);
    request->header = (struct kh_slice){at, header.size};
    return request;
}

int
kh_requests_add(struct kh_requests *requests, uint64_t id, enum kh_channel channel,
                const struct kh_schema *row, const struct kh_slice *ident,
                size_t ident_count, struct kh_slice header,
                struct kh_request **ret_request, struct kh_error *err)
{
    struct kh_request *request, **bucket = bucket_of(requests, id);

    if (requests->count >= KH_REQUESTS_MAX || requests->bytes >= KH_REQUESTS_BYTES)
        return kh_fail(err, ENOBUFS, "%zu requests wait for this kernel already",
                       requests->count);
    if (ident_count > KH_WIRE_IDENTS_MAX)
        return kh_fail(err, EINVAL, "message has too many routing identities");
    request = make(ident, ident_count, header);
    request->id = id;
    request->channel = channel;
    request->row = row;
    request->next_in_bucket = *bucket;
    *bucket = request;
    request->prev = requests->last;
    if (requests->last)
        requests->last->next = request;
    else
        requests->first = request;
    requests->last = request;
    requests->count++;
    requests->bytes += request->bytes;
    *ret_request = request;
    return 0;
}

struct kh_request *
kh_requests_find(struct kh_requests *requests, uint64_t id)
{
    struct kh_request *request = *bucket_of(requests, id);

    while (request && request->id != id)
        request = request->next_in_bucket;
    return request;
}

struct kh_request *
kh_requests_first(struct kh_requests *requests)
{
    return requests->first;
}

struct kh_slice
kh_requests_parent(struct kh_requests *requests, uint64_t id)
{
    struct kh_request *request = id ? kh_requests_find(requests, id) : NULL;
    size_t i;

    if (request)
        return request->header;
    for (i = 0; id && i < KH_REQUESTS_PAST; i++)
        if (requests->past[i].id == id)
            return (struct kh_slice){requests->past[i].header, requests->past[i].size};
    return (struct kh_slice){NULL, 0};
}

static void
unlink_request(struct kh_requests *requests, struct kh_request *request)
{
    struct kh_request **at = bucket_of(requests, request->id);

    while (*at != request)
        at = &(*at)->next_in_bucket;
    *at = request->next_in_bucket;
    if (request->prev)
        request->prev->next = request->next;
    else
        requests->first = request->next;
    if (request->next)
        request->next->prev = request->prev;
    else
        requests->last = request->prev;
    requests->count--;
    requests->bytes -= request->bytes;
}

void
kh_requests_finish(struct kh_requests *requests, struct kh_request *request)
{
    struct past *past = &requests->past[requests->past_at];

    unlink_request(requests, request);
    free(past->header);
    past->id = request->id;
    past->size = request->header.size;
    past->header = kh_xmemdup(request->header.data, request->header.size);
    requests->past_at = (requests->past_at + 1) % KH_REQUESTS_PAST;
    free(request);
}

void
kh_requests_drop_sink(struct kh_requests *requests, const struct kh_sink *sink)
{
    struct kh_request *request;

    for (request = requests->first; request; request = request->next)
        if (request->sink == sink)
            request->sink = NULL;
}

size_t
kh_requests_count(const struct kh_requests *requests)
{
    return requests->count;
}
