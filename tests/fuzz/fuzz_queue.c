#include "base/clean.h"
#include "sandbox/init/queue.h"
#include "tests/fuzz/fuzz.h"

/* The requests in the queue, counted by hand. */
static void
check(const struct kh_queue *queue)
{
    const struct kh_request *request;
    size_t count = 0, bytes = 0;

    for (request = queue->waiting; request; request = request->next, count++)
        bytes += request->bytes;
    for (request = queue->handed; request; request = request->next, count++)
        bytes += request->bytes;
    MUST(count == queue->count && bytes == queue->bytes);
    MUST(!queue->running || kh_queue_find(queue, queue->running));
}

/* Every two bytes are something that the gateway or the runner does. */
static void
step(struct kh_queue *queue, uint8_t what, uint8_t arg)
{
    struct kh_buf frame = KH_BUF_INIT;
    struct kh_request *taken = NULL;

    switch (what % 6) {
    case 0:
        kh_buf_add(&frame, "01234567", arg % 8u);
        if (kh_queue_room(queue, kh_buf_len(&frame)))
            kh_queue_add(queue, queue->last + 1 + arg % 4u, arg & 7, &frame);
        kh_buf_release(&frame);
        break;
    case 1:
        if ((arg & 1) || !queue->running)
            kh_queue_hand(queue, arg & 1);
        break;
    case 2:
        if (kh_queue_find(queue, arg))
            kh_queue_done(queue, arg);
        break;
    case 3:
        kh_queue_abort(queue);
        break;
    case 4:
        taken = kh_queue_take(queue, (enum kh_queue_which)(arg % 3));
        break;
    default:
        MUST(kh_queue_waits(queue) <= (queue->waiting != NULL));
    }
    if (taken)
        kh_request_free(taken);
    check(queue);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_queue queue = {0};

    for (; size >= 2; data += 2, size -= 2)
        step(&queue, data[0], data[1]);
    kh_queue_release(&queue);
    return 0;
}
