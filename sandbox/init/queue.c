#include "sandbox/init/queue.h"

#include <stdlib.h>

#include "base/mem.h"
#include "protocol/link/init.h"
#include "protocol/link/runner.h"

static bool
is_control(const struct kh_request *request)
{
    return (request->flags & KH_REQUEST_CONTROL) != 0;
}

bool
kh_queue_room(const struct kh_queue *queue, size_t size)
{
    return queue->count < KH_QUEUE_MAX && size <= KH_QUEUE_BYTES - queue->bytes;
}

void
kh_queue_add(struct kh_queue *queue, uint64_t id, uint16_t flags, struct kh_buf *frame)
{
    struct kh_request *request = kh_xcalloc(1, sizeof(*request));

    request->id = id;
    request->flags = flags;
    request->bytes = kh_buf_len(frame);
    request->frame = *frame;
    *frame = KH_BUF_INIT;
    if (!queue->tail)
        queue->tail = &queue->waiting;
    *queue->tail = request;
    queue->tail = &request->next;
    queue->last = id;
    queue->count++;
    queue->bytes += request->bytes;
}

/* Takes *AT, an element of the waiting list, out of it. */
static struct kh_request *
unlink_waiting(struct kh_queue *queue, struct kh_request **at)
{
    struct kh_request *request = *at;

    *at = request->next;
    if (queue->tail == &request->next)
        queue->tail = at;
    request->next = NULL;
    return request;
}

struct kh_request *
kh_queue_hand(struct kh_queue *queue, bool control)
{
    struct kh_request **at = &queue->waiting;
    struct kh_request *request;

    while (*at && is_control(*at) != control)
        at = &(*at)->next;
    if (!*at)
        return NULL;
    request = unlink_waiting(queue, at);
    request->next = queue->handed;
    queue->handed = request;
    if (!control)
        queue->running = request->id;
    return request;
}

bool
kh_queue_waits(const struct kh_queue *queue)
{
    const struct kh_request *request = queue->waiting;

    while (request && is_control(request))
        request = request->next;
    return request != NULL;
}

struct kh_request *
kh_queue_find(const struct kh_queue *queue, uint64_t id)
{
    struct kh_request *request = queue->handed;

    while (request && request->id != id)
        request = request->next;
    return request;
}

static void
uncount(struct kh_queue *queue, const struct kh_request *request)
{
    queue->count--;
    queue->bytes -= request->bytes;
    if (queue->running == request->id)
        queue->running = 0;
}

void
kh_queue_done(struct kh_queue *queue, uint64_t id)
{
    struct kh_request **at = &queue->handed;
    struct kh_request *request;

    while (*at && (*at)->id != id)
        at = &(*at)->next;
    request = *at;
    if (!request)
        return;
    *at = request->next;
    uncount(queue, request);
    kh_request_free(request);
}

void
kh_queue_abort(struct kh_queue *queue)
{
    struct kh_request *request;

    for (request = queue->waiting; request; request = request->next)
        if ((request->flags & KH_REQUEST_EXECUTE) && !is_control(request))
            request->aborted = true;
}

static struct kh_request *
take_waiting(struct kh_queue *queue, bool aborted)
{
    struct kh_request **at = &queue->waiting;

    while (*at && aborted && !(*at)->aborted)
        at = &(*at)->next;
    return *at ? unlink_waiting(queue, at) : NULL;
}

/* The newest is first, so the oldest is last. */
static struct kh_request *
take_handed(struct kh_queue *queue)
{
    struct kh_request **at = &queue->handed;
    struct kh_request *request;

    while (*at && (*at)->next)
        at = &(*at)->next;
    request = *at;
    *at = NULL;
    return request;
}

struct kh_request *
kh_queue_take(struct kh_queue *queue, enum kh_queue_which which)
{
    struct kh_request *request;

    request = which == KH_QUEUE_HANDED ? take_handed(queue)
                                       : take_waiting(queue, which == KH_QUEUE_ABORTED);
    if (request)
        uncount(queue, request);
    return request;
}

void
kh_request_free(struct kh_request *request)
{
    if (!request)
        return;
    kh_buf_release(&request->frame);
    free(request);
}

void
kh_queue_release(struct kh_queue *queue)
{
    struct kh_request *request;

    while ((request = kh_queue_take(queue, KH_QUEUE_HANDED)))
        kh_request_free(request);
    while ((request = kh_queue_take(queue, KH_QUEUE_WAITING)))
        kh_request_free(request);
    *queue = (struct kh_queue){0};
}
