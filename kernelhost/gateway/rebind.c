#include "kernelhost/gateway/rebind.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"

#define RETRY_MS 100

struct kh_rebind {
    struct kh_kernel *kernel;
    struct kh_timer *timer;
    uint64_t until;
    struct kh_row_binding row[KH_BINDS];
    unsigned count;
    bool failed;
    struct kh_error why; /* of the last try */
};

/* Tries all that is left; drops what is done. */
static void
try_all(struct kh_rebind *rebind)
{
    unsigned i = 0;

    while (i < rebind->count) {
        if (kh_kernel_bind_again(rebind->kernel, &rebind->row[i], &rebind->why) < 0) {
            i++;
            continue;
        }
        kh_connfile_wipe(&rebind->row[i].file);
        rebind->row[i] = rebind->row[--rebind->count];
    }
}

static void
on_timer(void *arg)
{
    struct kh_rebind *rebind = arg;

    try_all(rebind);
    if (!rebind->count) {
        rebind->failed = false;
        return;
    }
    if (kh_loop_now(rebind->kernel->gateway->loop) < rebind->until) {
        kh_timer_start(rebind->timer, RETRY_MS, 0);
        return;
    }
    rebind->failed = true;
    kh_log(KH_LOG_ERROR, "endpoints are not bound again kernel=%s why=%s",
           rebind->kernel->id, rebind->why.text);
}

void
kh_kernel_rebind(struct kh_kernel *kernel, const struct kh_row_binding *row)
{
    struct kh_rebind *rebind = kernel->rebind;
    struct kh_loop *loop = kernel->gateway->loop;

    if (!rebind) {
        rebind = kernel->rebind = kh_xcalloc(1, sizeof(*rebind));
        rebind->kernel = kernel;
        rebind->timer = kh_timer_new(loop, on_timer, rebind);
        rebind->until = kh_loop_now(loop) + KH_REBIND_MS;
    }
    if (rebind->count == KH_BINDS)
        return;
    rebind->row[rebind->count++] = *row;
    try_all(rebind);
    if (rebind->count)
        kh_timer_start(rebind->timer, RETRY_MS, 0);
}

const char *
kh_kernel_problem(const struct kh_kernel *kernel)
{
    return kernel->rebind && kernel->rebind->failed ? kernel->rebind->why.text : NULL;
}

void
kh_rebind_free(struct kh_rebind *rebind)
{
    unsigned i;

    if (!rebind)
        return;
    kh_timer_close(rebind->timer);
    for (i = 0; i < rebind->count; i++)
        kh_connfile_wipe(&rebind->row[i].file);
    free(rebind);
}
