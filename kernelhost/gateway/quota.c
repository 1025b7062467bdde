#include "kernelhost/gateway/quota.h"

#include <errno.h>
#include <inttypes.h>

#include "base/clean.h"
#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/registry.h"

#define MIB   (1024ull * 1024)
#define OWNER KH_DATABASE_OWNER

static int
refuse_count(const char *name, uint64_t most, uint64_t have, const char *cure,
             struct kh_error *err)
{
    return kh_fail(err, EDQUOT,
                   "owner '" OWNER "' has %" PRIu64 " of %" PRIu64 " %s (hint: %s, or "
                   "raise the quota '%s' in " KH_CONFIG_FILE " and kernelhost restart)",
                   have, most, name, cure, name);
}

static int
refuse_bytes(const char *name, uint64_t most, uint64_t have, uint64_t more,
             const char *cure, struct kh_error *err)
{
    return kh_fail(err, EDQUOT,
                   "owner '" OWNER "' has %" PRIu64 " of %" PRIu64
                   " MiB of %s, and this needs %" PRIu64 " (hint: %s, or raise the "
                   "quota '%s' in " KH_CONFIG_FILE " and kernelhost restart)",
                   (uint64_t)(have / MIB), (uint64_t)(most / MIB), name,
                   (uint64_t)((more + MIB - 1) / MIB), cure, name);
}

int
kh_quota_judge(const struct kh_quota *quota, const struct kh_holding *held,
               const struct kh_holding *more, struct kh_error *err)
{
    const struct {
        const char *name;
        uint64_t most, held, more;
        bool bytes;
        const char *cure;
    } rows[] = {
        {"sandboxes", quota->sandboxes, held->sandboxes, more->sandboxes, false,
         "kernelhost rm some"},
        {"running", quota->running, held->running, more->running, false,
         "kernelhost stop some"},
        {"memory", quota->memory, held->memory, more->memory, true,
         "stop some, or lower their limits"},
        {"disk", quota->disk, held->disk, more->disk, true,
         "remove some, or lower their limits"},
    };
    size_t i;

    for (i = 0; i < KH_COUNT(rows); i++) {
        if (!rows[i].most || !rows[i].more ||
            rows[i].held + rows[i].more <= rows[i].most)
            continue;
        if (rows[i].bytes)
            return refuse_bytes(rows[i].name, rows[i].most, rows[i].held, rows[i].more,
                                rows[i].cure, err);
        return refuse_count(rows[i].name, rows[i].most, rows[i].held, rows[i].cure,
                            err);
    }
    return 0;
}

/* Asleep or not: who sleeps is woken without asking. */
static bool
has_processes(const struct kh_broker_reply *record)
{
    return record->state != KH_SANDBOX_STOPPED;
}

static void
add_all(const struct kh_gateway *gateway, struct kh_holding *held)
{
    struct kh_sandbox *sandbox;
    unsigned i;

    for (i = 0; (sandbox = kh_registry_at(gateway->registry, i)); i++) {
        const struct kh_broker_reply *record = kh_sandbox_record(sandbox);

        held->sandboxes++;
        held->disk += record->limits.disk;
        if (!has_processes(record))
            continue;
        held->running++;
        held->memory += record->limits.memory;
    }
}

static int
check_config(const struct kh_gateway *gateway, struct kh_error *err)
{
    const struct kh_error *bad = &gateway->config.bad;

    return bad->code ? kh_fail(err, EDQUOT, "%s", bad->text) : 0;
}

int
kh_quota_take(struct kh_gateway *gateway, const struct kh_holding *more,
              struct kh_error *err)
{
    const struct kh_quota *quota = &gateway->config.quota;
    struct kh_holding held = gateway->coming;
    int r;

    if (!more->sandboxes && !more->running && !more->memory && !more->disk)
        return 0;
    r = check_config(gateway, err);
    if (r == 0 &&
        (quota->sandboxes || quota->running || quota->memory || quota->disk)) {
        add_all(gateway, &held);
        r = kh_quota_judge(quota, &held, more, err);
    }
    if (r < 0)
        return r;
    gateway->coming.sandboxes += more->sandboxes;
    gateway->coming.running += more->running;
    gateway->coming.memory += more->memory;
    gateway->coming.disk += more->disk;
    return 0;
}

void
kh_quota_done(struct kh_gateway *gateway, const struct kh_holding *more)
{
    gateway->coming.sandboxes -= more->sandboxes;
    gateway->coming.running -= more->running;
    gateway->coming.memory -= more->memory;
    gateway->coming.disk -= more->disk;
}

struct kh_holding
kh_quota_new(const struct kh_limits *limits)
{
    return (struct kh_holding){
        .sandboxes = 1,
        .running = 1,
        .memory = limits->memory ? limits->memory : KH_LIMITS_MEMORY,
        .disk = limits->disk ? limits->disk : KH_LIMITS_DISK,
    };
}

struct kh_holding
kh_quota_start(const struct kh_broker_reply *record)
{
    return (struct kh_holding){.running = 1, .memory = record->limits.memory};
}

static uint64_t
increase(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

struct kh_holding
kh_quota_change(const struct kh_broker_reply *record, const struct kh_limits *limits)
{
    return (struct kh_holding){
        .memory =
            has_processes(record) ? increase(record->limits.memory, limits->memory) : 0,
        .disk = increase(record->limits.disk, limits->disk),
    };
}

int
kh_quota_snapshot(const struct kh_gateway *gateway, uint64_t snapshots,
                  struct kh_error *err)
{
    uint64_t most = gateway->config.quota.snapshots;
    int r = check_config(gateway, err);

    return r == 0 && most && snapshots >= most
               ? refuse_count("snapshots", most, snapshots, "delete some", err)
               : r;
}

int
kh_quota_fork(const struct kh_gateway *gateway, uint64_t children, struct kh_error *err)
{
    uint64_t most = gateway->config.quota.forks;
    int r = check_config(gateway, err);

    if (r < 0 || !most || children <= most)
        return r;
    return kh_fail(err, EDQUOT,
                   "owner '" OWNER "' may have %" PRIu64 " forks at once, not %" PRIu64
                   " (hint: fork fewer, or raise the quota 'forks' in " KH_CONFIG_FILE
                   " and kernelhost restart)",
                   most, children);
}
