#include "kernelhost/gateway/metering.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/registry.h"
#include "protocol/jupyter/jsontree.h"

#define PERIOD_MS    60000u
#define FIRST_MS     2000u
#define METADATA_MAX (64u * 1024)
#define ENDED_MAX    (KH_BROKER_PENDING_MAX / 4) /* a round: its SETTLED wait together */
#define SECONDS_MAX  1e9 /* of one execution; what says more is not believed */

struct waiter {
    struct waiter *next;
    kh_sandbox_fn *fn;
    void *arg;
};

/* Who comes while a round is under way waits for the next one. */
struct kh_metering {
    struct kh_gateway *gateway;
    struct kh_timer *timer;
    bool running;
    uint64_t mark; /* the database's, as this round began to put */
    struct waiter *now, *later;
    uint8_t (*ended)[KH_ID_SIZE]; /* removed ones that this round puts */
    size_t ended_count, ended_size;
};

static void begin(struct kh_metering *metering);

static void
end(struct kh_metering *metering, const struct kh_error *err)
{
    struct waiter *list = STEAL_PTR(metering->now), *next;

    metering->running = false;
    metering->ended_count = 0;
    for (; list; list = next) {
        next = list->next;
        list->fn(list->arg, err);
        free(list);
    }
    metering->now = STEAL_PTR(metering->later);
    if (metering->now)
        begin(metering);
}

/* ---- sandboxes that are there ---- */

static void
put_sandbox(struct kh_gateway *gateway, const struct kh_broker_reply *record,
            bool removed)
{
    struct kh_row_account row = {
        .created = record->created, .removed = removed, .account = record->account};

    memcpy(row.id, record->id, sizeof(row.id));
    memcpy(row.name, record->name, sizeof(row.name));
    kh_database_put_account(gateway->database, &row);
}

/* Those that have done something since, or all: what was put last may be lost. */
static void
put_kernels(struct kh_gateway *gateway, bool all)
{
    struct kh_sandbox *sandbox;
    struct kh_kernel *kernel;
    unsigned i;

    for (i = 0; (sandbox = kh_registry_at(gateway->registry, i)); i++)
        for (kernel = kh_sandbox_kernels(sandbox); kernel;
             kernel = kh_kernel_next(kernel)) {
            if (all)
                kernel->work_put = UINT64_MAX;
            kh_metering_put_kernel(gateway, kernel);
        }
}

static void
put_all(struct kh_metering *metering)
{
    struct kh_gateway *gateway = metering->gateway;
    uint64_t mark = kh_database_mark(gateway->database);
    struct kh_sandbox *sandbox;
    unsigned i;

    for (i = 0; (sandbox = kh_registry_at(gateway->registry, i)); i++)
        put_sandbox(gateway, kh_sandbox_record(sandbox), false);
    put_kernels(gateway, mark != metering->mark);
    metering->mark = mark;
}

/* ---- those that are removed: kernelhostd keeps them until they are on the disk ----
 */

static void
on_written(void *arg, const struct kh_error *err)
{
    struct kh_metering *metering = arg;
    struct kh_gateway *gateway = metering->gateway;
    bool more = !err && metering->ended_count == ENDED_MAX;
    size_t i;

    for (i = 0; !err && i < metering->ended_count; i++) {
        struct kh_broker_request request = {.type = KH_BROKER_SETTLED};

        memcpy(request.id, metering->ended[i], KH_ID_SIZE);
        kh_broker_call(gateway->broker, &request, NULL, NULL);
    }
    end(metering, err);
    if (more && !metering->running)
        begin(metering);
}

static void
note_ended(struct kh_metering *metering, const uint8_t id[KH_ID_SIZE])
{
    if (metering->ended_count == metering->ended_size) {
        metering->ended_size = metering->ended_size ? 2 * metering->ended_size : 16;
        metering->ended = kh_xrealloc(metering->ended,
                                      metering->ended_size * sizeof(*metering->ended));
    }
    memcpy(metering->ended[metering->ended_count++], id, KH_ID_SIZE);
}

static void next_ended(struct kh_metering *metering, uint64_t cursor);

static void
on_ended(void *arg, const struct kh_broker_reply *reply, int *fd)
{
    struct kh_metering *metering = arg;

    (void)fd;
    if (reply->error.code && reply->error.code != ENOENT) {
        end(metering, &reply->error);
        return;
    }
    if (!reply->error.code && kh_name_valid(reply->name)) {
        put_sandbox(metering->gateway, reply, true);
        note_ended(metering, reply->id);
    }
    if (!reply->error.code && metering->ended_count < ENDED_MAX) {
        next_ended(metering, reply->arg);
        return;
    }
    if (metering->ended_count)
        kh_database_sync(metering->gateway->database, metering->mark, on_written,
                         metering);
    else
        end(metering, NULL);
}

static void
next_ended(struct kh_metering *metering, uint64_t cursor)
{
    struct kh_broker_request request = {.type = KH_BROKER_ENDED, .arg = cursor};

    kh_broker_call(metering->gateway->broker, &request, on_ended, metering);
}

static void
on_listed(void *arg, const struct kh_error *err)
{
    struct kh_metering *metering = arg;

    if (err) {
        end(metering, err);
        return;
    }
    put_all(metering);
    if (kh_database_lasts(metering->gateway->database))
        next_ended(metering, 0);
    else
        end(metering, NULL);
}

static void
begin(struct kh_metering *metering)
{
    metering->running = true;
    kh_registry_refresh(metering->gateway->registry, on_listed, metering);
}

void
kh_metering_refresh(struct kh_metering *metering, kh_sandbox_fn *fn, void *arg)
{
    struct waiter **at = metering->running ? &metering->later : &metering->now;
    struct waiter *waiter = kh_xcalloc(1, sizeof(*waiter));

    waiter->fn = fn;
    waiter->arg = arg;
    while (*at)
        at = &(*at)->next;
    *at = waiter;
    if (!metering->running)
        begin(metering);
}

static void
on_timer(void *arg)
{
    struct kh_metering *metering = arg;

    if (!metering->running)
        begin(metering);
}

struct kh_metering *
kh_metering_new(struct kh_gateway *gateway)
{
    struct kh_metering *metering = kh_xcalloc(1, sizeof(*metering));

    metering->gateway = gateway;
    metering->timer = kh_timer_new(gateway->loop, on_timer, metering);
    kh_timer_start(metering->timer, FIRST_MS, PERIOD_MS);
    return metering;
}

void
kh_metering_close(struct kh_metering *metering)
{
    if (!metering)
        return;
    kh_timer_stop(metering->timer);
    put_kernels(metering->gateway, true);
}

void
kh_metering_free(struct kh_metering *metering)
{
    if (!metering)
        return;
    kh_timer_close(metering->timer);
    free(metering->ended);
    free(metering);
}

/* ---- kernels ---- */

static uint64_t
microseconds(const json_t *object, const char *member)
{
    double seconds = json_number_value(json_object_get(object, member));

    return seconds > 0 && seconds < SECONDS_MAX ? (uint64_t)(seconds * 1e6) : 0;
}

/* Written beside what counts, which then is it by one store. */
void
kh_metering_count(struct kh_ledger_kernel *note, uint64_t seq, struct kh_slice metadata)
{
    const struct kh_ledger_work *last = &note->work[note->working & 1];
    struct kh_ledger_work *next = &note->work[~note->working & 1];
    AUTO_JSON json_t *tree = NULL;
    const json_t *told;

    if (last->init == note->init && seq <= last->seq)
        return;
    if (!note->epoch)
        kh_random(&note->epoch, sizeof(note->epoch));
    (void)kh_jsontree_parse(metadata, METADATA_MAX, &tree, NULL);
    told = json_object_get(tree, "kernelhost");
    *next = *last;
    next->init = note->init;
    next->seq = seq;
    next->executions++;
    next->cpu_usec += microseconds(told, "cpu_seconds");
    next->wall_usec += microseconds(told, "wall_seconds");
    atomic_signal_fence(memory_order_seq_cst);
    note->working ^= 1;
}

void
kh_metering_put_kernel(struct kh_gateway *gateway, struct kh_kernel *kernel)
{
    const struct kh_ledger_kernel *note = kernel->note;
    const struct kh_ledger_work *work = &note->work[note->working & 1];
    struct kh_row_work row = {.epoch = note->epoch >> 1, /* SQLite's are signed */
                              .executions = work->executions,
                              .cpu_usec = work->cpu_usec,
                              .wall_usec = work->wall_usec};

    if (work->executions == kernel->work_put)
        return;
    kernel->work_put = work->executions;
    memcpy(row.kernel, kernel->id, sizeof(row.kernel));
    memcpy(row.sandbox, kh_sandbox_record(kernel->sandbox)->id, sizeof(row.sandbox));
    memcpy(row.kind, kernel->language, sizeof(row.kind));
    kh_database_put_work(gateway->database, &row);
}
