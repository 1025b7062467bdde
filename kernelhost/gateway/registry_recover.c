/* What kernelhostd, the notes and the database know, brought in step at a start. */
#include <string.h>

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

static struct kh_sandbox *
find_id(struct kh_registry *registry, const uint8_t id[KH_ID_SIZE])
{
    unsigned i;

    for (i = 0; i < registry->count; i++)
        if (!memcmp(kh_sandbox_record(registry->sandboxes[i])->id, id, KH_ID_SIZE))
            return registry->sandboxes[i];
    return NULL;
}

static struct kh_kernel *
find_kernel(struct kh_registry *registry, const char *id)
{
    struct kh_kernel *kernel = NULL;
    unsigned i;

    for (i = 0; i < registry->count && !kernel; i++)
        kernel = kh_sandbox_kernel(registry->sandboxes[i], id);
    return kernel;
}

/* Rows of sandboxes that kernelhostd does not know go, and those it knows get one. */
static void
match_sandboxes(struct kh_registry *registry)
{
    struct kh_database *database = registry->gateway->database;
    const struct kh_row_sandbox *row;
    unsigned i;

    for (i = 0; (row = kh_database_sandbox(database, i)); i++)
        if (!find_id(registry, row->id))
            kh_database_drop_sandbox(database, row->id);
    for (i = 0; i < registry->count; i++)
        kh_registry_note(registry, kh_sandbox_record(registry->sandboxes[i]));
    registry->recovered = true;
}

/* The notes know better than the database what runs; it knows where it was bound. */
static void
match_kernels(struct kh_registry *registry)
{
    struct kh_database *database = registry->gateway->database;
    const struct kh_row_binding *binding;
    const struct kh_row_kernel *row;
    struct kh_sandbox *sandbox;
    struct kh_kernel *kernel;
    unsigned i;

    for (i = 0; (row = kh_database_kernel(database, i)); i++) {
        sandbox = find_id(registry, row->sandbox);
        if (sandbox && !find_kernel(registry, row->id) &&
            kh_sandbox_recover_row(sandbox, row) < 0)
            kh_database_drop_kernel(database, row->id);
    }
    for (i = 0; (binding = kh_database_binding(database, i)); i++) {
        kernel = find_kernel(registry, binding->kernel);
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
    unsigned i;

    match_sandboxes(registry);
    for (i = 0; i < KH_LEDGER_KERNELS; i++) {
        struct kh_ledger_kernel *kernel = kh_ledger_kernel(ledger, i);
        struct kh_sandbox *sandbox;

        if (!kernel)
            continue;
        sandbox = kh_registry_find(registry, kernel->name);
        if (!sandbox || kh_sandbox_recover(sandbox, kernel) < 0)
            kh_ledger_drop(ledger, kernel);
    }
    match_kernels(registry);
    for (i = 0; i < registry->count; i++)
        if (is_there(kh_sandbox_record(registry->sandboxes[i])->state))
            kh_sandbox_up(registry->sandboxes[i], on_connected, registry);
}
