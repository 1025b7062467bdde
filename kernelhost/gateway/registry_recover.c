/* What kernelhostd, the notes and the database know, brought in step at a start. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/registry_own.h"

static void
on_connected(void *arg, const struct kh_error *err)
{
    (void)arg;
    (void)err;
}

/* Everything by its id, for as long as the recovery takes: what is to be matched may
 * be tens of thousands. */
struct index {
    struct kh_sandbox **sandbox;
    struct kh_kernel **kernel;
    size_t sandboxes, kernels;
};

static int
compare_sandboxes(const void *a, const void *b)
{
    return memcmp(kh_sandbox_record(*(struct kh_sandbox *const *)a)->id,
                  kh_sandbox_record(*(struct kh_sandbox *const *)b)->id, KH_ID_SIZE);
}

static int
compare_sandbox_id(const void *id, const void *sandbox)
{
    return memcmp(id, kh_sandbox_record(*(struct kh_sandbox *const *)sandbox)->id,
                  KH_ID_SIZE);
}

static int
compare_kernels(const void *a, const void *b)
{
    return strcmp(kh_kernel_id(*(struct kh_kernel *const *)a),
                  kh_kernel_id(*(struct kh_kernel *const *)b));
}

static int
compare_kernel_id(const void *id, const void *kernel)
{
    return strcmp(id, kh_kernel_id(*(struct kh_kernel *const *)kernel));
}

static void
index_sandboxes(struct index *index, const struct kh_registry *registry)
{
    index->sandboxes = registry->count;
    index->sandbox = kh_xcalloc(index->sandboxes + 1, sizeof(*index->sandbox));
    if (index->sandboxes)
        memcpy(index->sandbox, registry->sandboxes,
               index->sandboxes * sizeof(*index->sandbox));
    qsort(index->sandbox, index->sandboxes, sizeof(*index->sandbox), compare_sandboxes);
}

static void
index_kernels(struct index *index)
{
    struct kh_kernel *kernel;
    size_t i, size = 0;

    for (i = 0; i < index->sandboxes; i++)
        for (kernel = kh_sandbox_kernels(index->sandbox[i]); kernel;
             kernel = kh_kernel_next(kernel)) {
            if (index->kernels == size) {
                size = size ? 2 * size : 64;
                index->kernel =
                    kh_xrealloc(index->kernel, size * sizeof(*index->kernel));
            }
            index->kernel[index->kernels++] = kernel;
        }
    if (index->kernels)
        qsort(index->kernel, index->kernels, sizeof(*index->kernel), compare_kernels);
}

static struct kh_sandbox *
find_sandbox(const struct index *index, const uint8_t id[KH_ID_SIZE])
{
    struct kh_sandbox **found = bsearch(id, index->sandbox, index->sandboxes,
                                        sizeof(*index->sandbox), compare_sandbox_id);

    return found ? *found : NULL;
}

static struct kh_kernel *
find_kernel(const struct index *index, const char *id)
{
    struct kh_kernel **found = index->kernels
                                   ? bsearch(id, index->kernel, index->kernels,
                                             sizeof(*index->kernel), compare_kernel_id)
                                   : NULL;

    return found ? *found : NULL;
}

/* Rows of sandboxes that kernelhostd does not know go, and those it knows get one. */
static void
match_sandboxes(struct kh_registry *registry, const struct index *index)
{
    struct kh_database *database = registry->gateway->database;
    const struct kh_row_sandbox *row;
    unsigned i;

    for (i = 0; (row = kh_database_sandbox(database, i)); i++)
        if (!find_sandbox(index, row->id))
            kh_database_drop_sandbox(database, row->id);
    for (i = 0; i < registry->count; i++)
        kh_registry_note(registry, kh_sandbox_record(registry->sandboxes[i]));
    registry->recovered = true;
}

/* The notes know better than the database what runs; it knows where it was bound. */
static void
match_kernels(struct kh_registry *registry, struct index *index)
{
    struct kh_database *database = registry->gateway->database;
    const struct kh_row_binding *binding;
    const struct kh_row_kernel *row;
    struct kh_sandbox *sandbox;
    struct kh_kernel *kernel;
    unsigned i;

    for (i = 0; (row = kh_database_kernel(database, i)); i++) {
        sandbox = find_sandbox(index, row->sandbox);
        if (sandbox && !kh_sandbox_kernel(sandbox, row->id) &&
            kh_sandbox_recover_row(sandbox, row) < 0)
            kh_database_drop_kernel(database, row->id);
    }
    index_kernels(index);
    for (i = 0; (binding = kh_database_binding(database, i)); i++) {
        kernel = find_kernel(index, binding->kernel);
        if (kernel)
            kh_kernel_rebind(kernel, binding);
    }
    kh_database_loaded(database);
}

/* A frozen one may hold what its clients have not got yet. */
static bool
is_there(uint32_t state)
{
    return state == KH_SANDBOX_RUNNING || state == KH_SANDBOX_FROZEN;
}

/* Notes of sandboxes that are gone are dropped. */
void
kh_registry_recover(struct kh_registry *registry)
{
    struct kh_ledger *ledger = registry->gateway->ledger;
    struct index index = {.sandbox = NULL};
    unsigned i;

    index_sandboxes(&index, registry);
    match_sandboxes(registry, &index);
    for (i = 0; i < KH_LEDGER_KERNELS; i++) {
        struct kh_ledger_kernel *kernel = kh_ledger_kernel(ledger, i);
        struct kh_sandbox *sandbox;

        if (!kernel)
            continue;
        sandbox = kh_registry_find(registry, kernel->name);
        if (!sandbox || kh_sandbox_recover(sandbox, kernel) < 0)
            kh_ledger_drop(ledger, kernel);
    }
    match_kernels(registry, &index);
    free(index.sandbox);
    free(index.kernel);
    for (i = 0; i < registry->count; i++)
        if (is_there(kh_sandbox_record(registry->sandboxes[i])->state))
            kh_sandbox_up(registry->sandboxes[i], on_connected, registry);
}
