/* ledger_requests: the open requests in the ledger, in blocks. */
#include <string.h>

#include "kernelhost/gateway/ledger_own.h"

static struct kh_ledger_request *
request_at(const struct kh_ledger *ledger, uint32_t block)
{
    return (struct kh_ledger_request *)(ledger->base + KH_LEDGER_BLOCKS_AT +
                                        (size_t)block * KH_LEDGER_BLOCK);
}

static void
mark(struct kh_ledger *ledger, uint32_t block, uint32_t count, bool taken)
{
    uint32_t i;

    for (i = block; i < block + count; i++)
        if (taken)
            ledger->taken[i / 8] |= (uint8_t)(1u << i % 8);
        else
            ledger->taken[i / 8] &= (uint8_t) ~(1u << i % 8);
}

/* Sizes that do not fit into the blocks are of a process that was killed while it
 * wrote them, or worse: the request does not exist. */
static bool
is_whole(const struct kh_ledger_request *request, uint32_t block)
{
    size_t size = sizeof(*request) + request->header;
    uint32_t i;

    if (!request->blocks || request->blocks > KH_LEDGER_SPAN_MAX ||
        request->blocks > KH_LEDGER_BLOCKS - block ||
        request->kernel >= KH_LEDGER_KERNELS ||
        request->ident_count > KH_WIRE_IDENTS_MAX ||
        request->header > KH_LEDGER_SPAN_MAX * KH_LEDGER_BLOCK)
        return false;
    for (i = 0; i < request->ident_count; i++)
        size += request->ident[i];
    return size <= (size_t)request->blocks * KH_LEDGER_BLOCK;
}

void
kh_ledger_load_requests(struct kh_ledger *ledger)
{
    uint32_t i;

    for (i = 0; i < KH_LEDGER_BLOCKS; i++) {
        struct kh_ledger_request *request = request_at(ledger, i);

        if (!kh_ledger_has(ledger, KH_LEDGER_BLOCKS_AT + (size_t)i * KH_LEDGER_BLOCK) ||
            !request->blocks)
            continue;
        if (!is_whole(request, i)) {
            request->blocks = 0;
            continue;
        }
        request->client[sizeof(request->client) - 1] = '\0';
        request->msg_type[sizeof(request->msg_type) - 1] = '\0';
        mark(ledger, i, request->blocks, true);
        i += request->blocks - 1;
    }
}

static bool
is_taken(const struct kh_ledger *ledger, uint32_t block)
{
    return ledger->taken[block / 8] & 1u << block % 8;
}

/* The first run of COUNT free blocks; KH_LEDGER_BLOCKS when there is none. */
static uint32_t
find_room(struct kh_ledger *ledger, uint32_t count)
{
    uint32_t block, run = 0;

    while (ledger->lowest < KH_LEDGER_BLOCKS && is_taken(ledger, ledger->lowest))
        ledger->lowest++;
    for (block = ledger->lowest; block < KH_LEDGER_BLOCKS; block++) {
        run = is_taken(ledger, block) ? 0 : run + 1;
        if (run == count)
            return block + 1 - count;
    }
    return KH_LEDGER_BLOCKS;
}

static void
copy_bytes(struct kh_ledger_request *request, const struct kh_slice *ident,
           struct kh_slice header)
{
    char *at = request->bytes;
    uint32_t i;

    for (i = 0; i < request->ident_count; i++) {
        request->ident[i] = (uint8_t)ident[i].size;
        if (ident[i].size)
            memcpy(at, ident[i].data, ident[i].size);
        at += ident[i].size;
    }
    request->header = (uint32_t)header.size;
    if (header.size)
        memcpy(at, header.data, header.size);
}

struct kh_ledger_request *
kh_ledger_note(struct kh_ledger *ledger, const struct kh_ledger_request *fields,
               const struct kh_slice *ident, struct kh_slice header)
{
    size_t size = sizeof(*fields) + header.size, i;
    struct kh_ledger_request *request;
    uint32_t count, block;

    for (i = 0; i < fields->ident_count; i++) {
        if (ident[i].size > UINT8_MAX)
            return NULL;
        size += ident[i].size;
    }
    if (size > (size_t)KH_LEDGER_SPAN_MAX * KH_LEDGER_BLOCK ||
        fields->kernel >= KH_LEDGER_KERNELS)
        return NULL;
    count = (uint32_t)((size + KH_LEDGER_BLOCK - 1) / KH_LEDGER_BLOCK);
    block = find_room(ledger, count);
    if (block == KH_LEDGER_BLOCKS ||
        !kh_ledger_reach(ledger, KH_LEDGER_BLOCKS_AT + (size_t)block * KH_LEDGER_BLOCK,
                         (size_t)count * KH_LEDGER_BLOCK))
        return NULL;
    request = request_at(ledger, block);
    *request = *fields;
    request->blocks = 0;
    copy_bytes(request, ident, header);
    atomic_signal_fence(memory_order_seq_cst); /* there only when it is whole */
    request->blocks = count;
    mark(ledger, block, count, true);
    return request;
}

static uint32_t
block_of(const struct kh_ledger *ledger, const struct kh_ledger_request *request)
{
    return (
        uint32_t)((size_t)((const char *)request - ledger->base - KH_LEDGER_BLOCKS_AT) /
                  KH_LEDGER_BLOCK);
}

void
kh_ledger_erase(struct kh_ledger *ledger, struct kh_ledger_request *request)
{
    uint32_t block, count;

    if (!request || ledger->left)
        return;
    block = block_of(ledger, request);
    count = request->blocks;
    request->blocks = 0;
    mark(ledger, block, count, false);
    if (block < ledger->lowest)
        ledger->lowest = block;
}

struct kh_ledger_request *
kh_ledger_next(struct kh_ledger *ledger, const struct kh_ledger_kernel *kernel,
               const struct kh_ledger_request *after)
{
    uint32_t block = after ? block_of(ledger, after) + after->blocks : 0;
    uint32_t index = kh_ledger_index(ledger, kernel);

    while (block < KH_LEDGER_BLOCKS) {
        struct kh_ledger_request *request;

        if (!ledger->taken[block / 8]) {
            block = (block / 8 + 1) * 8;
            continue;
        }
        if (!is_taken(ledger, block)) {
            block++;
            continue;
        }
        request = request_at(ledger, block);
        if (request->kernel == index)
            return request;
        block += request->blocks ? request->blocks : 1;
    }
    return NULL;
}
