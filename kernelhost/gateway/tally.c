#include "kernelhost/gateway/tally.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct kh_tally {
    atomic_size_t held;
    atomic_uint_fast64_t freed;
    atomic_uint refs;
};

struct parcel {
    struct kh_tally *tally;
    size_t weight;
    char data[];
};

struct kh_tally *
kh_tally_new(void)
{
    struct kh_tally *tally = kh_xcalloc(1, sizeof(*tally));

    atomic_init(&tally->refs, 1);
    return tally;
}

void
kh_tally_unref(struct kh_tally *tally)
{
    if (tally && atomic_fetch_sub(&tally->refs, 1) == 1)
        free(tally);
}

size_t
kh_tally_held(const struct kh_tally *tally)
{
    return atomic_load(&tally->held);
}

uint64_t
kh_tally_freed(const struct kh_tally *tally)
{
    return atomic_load(&tally->freed);
}

/* Runs in any thread of libzmq. */
static void
drop(void *data, void *hint)
{
    struct parcel *parcel = hint;
    struct kh_tally *tally = parcel->tally;

    (void)data;
    atomic_fetch_sub(&tally->held, parcel->weight);
    atomic_fetch_add(&tally->freed, parcel->weight);
    free(parcel);
    kh_tally_unref(tally);
}

void
kh_tally_message(struct kh_tally *tally, zmq_msg_t *msg, const void *p, size_t size,
                 size_t weight)
{
    struct parcel *parcel = kh_xrealloc(NULL, sizeof(*parcel) + size);

    parcel->tally = tally;
    parcel->weight = weight;
    if (size)
        memcpy(parcel->data, p, size);
    atomic_fetch_add(&tally->refs, 1);
    atomic_fetch_add(&tally->held, weight);
    if (zmq_msg_init_data(msg, parcel->data, size, drop, parcel) < 0)
        abort(); /* only ENOMEM */
}
