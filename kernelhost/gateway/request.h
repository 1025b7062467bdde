/* request: what clients asked of a kernel and is not finished.
 *
 * A table of the requests of one kernel by the number the gateway gave them.
 * Each knows where its answer goes (a channel and routing identities, or a sink)
 * and its raw header, which is the parent_header of all that answers it.
 * Finished requests leave their header behind for a while: a thread or a
 * background process may still print. Pure.
 */
#ifndef KH_GATEWAY_REQUEST_H
#define KH_GATEWAY_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernelhost/gateway/ledger.h"
#include "protocol/jupyter/schema.h"
#include "protocol/jupyter/wire.h"

/* Unfinished requests of one kernel, and their bytes here. init has limits of
 * its own (KH_QUEUE_MAX, KH_QUEUE_BYTES) for what waits there. */
#define KH_REQUESTS_MAX   10000u
#define KH_REQUESTS_BYTES (32u * 1024 * 1024)
#define KH_REQUESTS_PAST  256u /* headers of finished ones that are kept */

struct kh_sink;

struct kh_request {
    uint64_t id;
    enum kh_channel channel;     /* shell or control */
    const struct kh_schema *row; /* NULL: a type without a reply */
    struct kh_sink *sink;        /* gets the reply; NULL: ident does */
    bool sent;                   /* given to init */
    bool begun;                  /* busy was published */
    bool replied;
    bool recovered;                 /* an earlier gateway took it */
    bool stranded;                  /* and init never got it */
    struct kh_route_mark from;      /* the connection it came by */
    struct kh_ledger_request *note; /* what outlives us of it; NULL: nothing */
    struct kh_buf frame;            /* as it was sent, until it has begun */
    size_t ident_count;
    struct kh_slice ident[KH_WIRE_IDENTS_MAX];
    struct kh_slice header; /* raw JSON */
    size_t bytes;           /* what it weighs */
    struct kh_request *next_in_bucket;
    struct kh_request *next, *prev; /* in order of arrival */
};

struct kh_requests;

struct kh_requests *kh_requests_new(void);
void kh_requests_free(struct kh_requests *requests);

/* Adds a request; copies identities and header. -ENOBUFS when the table is full
 * (the caller replies so). ID must be new. */
int kh_requests_add(struct kh_requests *requests, uint64_t id, enum kh_channel channel,
                    const struct kh_schema *row, const struct kh_slice *ident,
                    size_t ident_count, struct kh_slice header,
                    struct kh_request **ret_request, struct kh_error *err);

struct kh_request *kh_requests_find(struct kh_requests *requests, uint64_t id);

/* The oldest unfinished request, or NULL; next follows in order of arrival. */
struct kh_request *kh_requests_first(struct kh_requests *requests);

/* The parent_header for what request ID says, finished or not; an empty slice
 * when it is not known (any more). */
struct kh_slice kh_requests_parent(struct kh_requests *requests, uint64_t id);

/* Finishes a request: it is freed, its header is kept for late output. */
void kh_requests_finish(struct kh_requests *requests, struct kh_request *request);

/* Takes a sink that goes away out of all requests. */
void kh_requests_drop_sink(struct kh_requests *requests, const struct kh_sink *sink);

size_t kh_requests_count(const struct kh_requests *requests);

#endif
