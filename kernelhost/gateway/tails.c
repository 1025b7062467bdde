#include "kernelhost/gateway/tails.h"

#include <stdbool.h>
#include <sys/mman.h>

struct kh_tails {
    uint16_t slot[KH_LEDGER_KERNELS]; /* 0: none, else from 1 */
    uint8_t used[KH_TAILS_MAX];
    struct kh_tail tail[KH_TAILS_MAX];
};

struct kh_tails *
kh_tails_new(void)
{
    struct kh_tails *tails = mmap(NULL, sizeof(*tails), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return tails == MAP_FAILED ? NULL : tails;
}

struct kh_tail *
kh_tails_find(struct kh_tails *tails, uint32_t kernel)
{
    uint16_t slot;

    if (!tails || kernel >= KH_LEDGER_KERNELS)
        return NULL;
    slot = __atomic_load_n(&tails->slot[kernel], __ATOMIC_ACQUIRE);
    return slot ? &tails->tail[slot - 1] : NULL;
}

void
kh_tails_need(struct kh_tails *tails, uint32_t kernel)
{
    uint16_t i = 0;

    if (!tails || kernel >= KH_LEDGER_KERNELS || tails->slot[kernel])
        return;
    while (i < KH_TAILS_MAX && tails->used[i])
        i++;
    if (i == KH_TAILS_MAX)
        return;
    tails->used[i] = 1;
    tails->tail[i].marks = 0;
    __atomic_store_n(&tails->slot[kernel], (uint16_t)(i + 1), __ATOMIC_RELEASE);
}

/* Its pages go back to the system. The thread that writes may still write a little
 * there: that takes a page and harms nobody. */
void
kh_tails_drop(struct kh_tails *tails, uint32_t kernel)
{
    struct kh_tail *tail = kh_tails_find(tails, kernel);
    size_t page = 4096, lead;

    if (!tail)
        return;
    tails->used[tails->slot[kernel] - 1] = 0;
    __atomic_store_n(&tails->slot[kernel], 0, __ATOMIC_RELEASE);
    lead = (page - (uintptr_t)tail->bytes % page) % page;
    madvise(tail->bytes + lead, (sizeof(tail->bytes) - lead) / page * page,
            MADV_REMOVE);
}
