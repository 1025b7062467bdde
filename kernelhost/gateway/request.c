#include "kernelhost/gateway/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Both tables grow on demand: most of thousands of kernels are idle. Powers of two. */
#define BUCKETS_FIRST 16u
#define PAST_FIRST    4u

struct past {
    uint64_t id;
    char *header;
    size_t size;
};

struct kh_requests {
    struct kh_request **bucket;
    size_t buckets;
    struct kh_request *first, *last;
    size_t count;
    size_t bytes;
    struct past *past;
    size_t past_size, past_at; /* at: the oldest entry, overwritten next */
};

static struct kh_request **
bucket_of(struct kh_requests *requests, uint64_t id)
{
    return &requests->bucket[id & (requests->buckets - 1)];
}

struct kh_requests *
kh_requests_new(void)
{
    struct kh_requests *requests = kh_xcalloc(1, sizeof(*requests));

    requests->buckets = BUCKETS_FIRST;
    requests->bucket = kh_xcalloc(BUCKETS_FIRST, sizeof(struct kh_request *));
    requests->past_size = PAST_FIRST;
    requests->past = kh_xcalloc(PAST_FIRST, sizeof(*requests->past));
    return requests;
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
        kh_buf_release(&request->frame);
        free(request);
    }
    for (i = 0; i < requests->past_size; i++)
        free(requests->past[i].header);
    free(requests->past);
    free(requests->bucket);
    free(requests);
}

static void
put_into_bucket(struct kh_requests *requests, struct kh_request *request)
{
    struct kh_request **bucket = bucket_of(requests, request->id);

    request->next_in_bucket = *bucket;
    *bucket = request;
}

static void
grow_buckets(struct kh_requests *requests)
{
    struct kh_request *request;

    free(requests->bucket);
    requests->buckets *= 4;
    requests->bucket = kh_xcalloc(requests->buckets, sizeof(struct kh_request *));
    for (request = requests->first; request; request = request->next)
        put_into_bucket(requests, request);
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
    struct kh_request *request;

    if (requests->count >= KH_REQUESTS_MAX || requests->bytes >= KH_REQUESTS_BYTES)
        return kh_fail(err, ENOBUFS, "%zu requests wait for this kernel already",
                       requests->count);
    if (ident_count > KH_WIRE_IDENTS_MAX)
        return kh_fail(err, EINVAL, "message has too many routing identities");
    request = make(ident, ident_count, header);
    request->id = id;
    request->channel = channel;
    request->row = row;
    if (requests->count >= requests->buckets)
        grow_buckets(requests);
    put_into_bucket(requests, request);
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
    for (i = 0; id && i < requests->past_size; i++)
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
    kh_buf_release(&request->frame);
}

/* The ring is full, and has its oldest at place 0, since it was never overwritten. */
static void
grow_past(struct kh_requests *requests)
{
    size_t old = requests->past_size;

    requests->past_size *= 2;
    requests->past =
        kh_xrealloc(requests->past, requests->past_size * sizeof(*requests->past));
    memset(requests->past + old, 0, old * sizeof(*requests->past));
    requests->past_at = old;
}

void
kh_requests_finish(struct kh_requests *requests, struct kh_request *request)
{
    struct past *past;

    if (requests->past[requests->past_at].header &&
        requests->past_size < KH_REQUESTS_PAST)
        grow_past(requests);
    past = &requests->past[requests->past_at];
    unlink_request(requests, request);
    free(past->header);
    past->id = request->id;
    past->size = request->header.size;
    past->header = kh_xmemdup(request->header.data, request->header.size);
    requests->past_at = (requests->past_at + 1) % requests->past_size;
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
