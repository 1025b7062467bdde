/* metrics: GET /metrics, in Prometheus' text format 0.0.4: what the ledger has, and
 * what is there now. Names, once published, stay. Counters of sandboxes that were
 * removed are in their owner's only. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/gateway/registry.h"
#include "kernelhost/http/usage.h"

#define TYPE "text/plain; version=0.0.4; charset=utf-8"

struct row {
    struct kh_gateway *gateway;
    struct kh_used used;
    const struct kh_broker_reply *record; /* NULL: removed, or an owner's sum */
};

static double
cpu(const struct row *row)
{
    return kh_usage_cpu(&row->used);
}

static double
memory(const struct row *row)
{
    return kh_usage_gib(row->used.memory);
}

static double
disk(const struct row *row)
{
    return kh_usage_gib(row->used.disk);
}

static double
executions(const struct row *row)
{
    return row->used.executions;
}

static double
cost(const struct row *row)
{
    return kh_usage_cost(&row->gateway->config.prices, &row->used);
}

static double
running(const struct row *row)
{
    return row->used.running_ms / 1e3;
}

static double
frozen(const struct row *row)
{
    return row->used.frozen_ms / 1e3;
}

static double
hibernated(const struct row *row)
{
    return row->used.hibernated_ms / 1e3;
}

static double
memory_now(const struct row *row)
{
    return row->record ? (double)row->record->usage.memory : 0;
}

static double
memory_limit(const struct row *row)
{
    return row->record ? (double)row->record->limits.memory : 0;
}

static double
disk_now(const struct row *row)
{
    return (double)row->used.disk_now;
}

/* Rows of one name stand together; the first has the words. */
static const struct {
    const char *name;
    const char *type;
    const char *help;
    const char *labels; /* more of them, or "" */
    bool owner;         /* owners have it as well */
    double (*value)(const struct row *row);
} metrics[] = {
    {"cpu_seconds_total", "counter", "Processor time used.", "", true, cpu},
    {"memory_gib_seconds_total", "counter", "Memory held, times how long.", "", true,
     memory},
    {"disk_gib_seconds_total", "counter", "Disk held, times how long.", "", true, disk},
    {"executions_total", "counter", "Execute requests that were answered.", "", true,
     executions},
    {"cost_dollars_total", "counter", "What that costs by the price table.", "", true,
     cost},
    {"state_seconds_total", "counter", "Time in each state.", ",state=\"running\"",
     true, running},
    {"state_seconds_total", NULL, NULL, ",state=\"frozen\"", true, frozen},
    {"state_seconds_total", NULL, NULL, ",state=\"hibernated\"", true, hibernated},
    {"memory_bytes", "gauge", "Memory in use.", "", false, memory_now},
    {"memory_limit_bytes", "gauge", "Memory that may be used.", "", false,
     memory_limit},
    {"disk_bytes", "gauge", "Disk in use.", "", false, disk_now},
};

/* As the format wants it between double quotes. */
static void
add_label(struct kh_buf *out, const char *name, const char *value)
{
    kh_buf_addf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            kh_buf_addf(out, "\\n");
        else if (*value == '"' || *value == '\\')
            kh_buf_addf(out, "\\%c", *value);
        else
            kh_buf_add(out, value, 1);
    }
    kh_buf_addf(out, "\"");
}

static void
add_head(struct kh_buf *out, const char *name, const char *type, const char *help)
{
    kh_buf_addf(out, "# HELP kernelhost_%s %s\n# TYPE kernelhost_%s %s\n", name, help,
                name, type);
}

static void
add_sandbox(struct kh_buf *out, size_t metric, const struct row *row)
{
    kh_buf_addf(out, "kernelhost_sandbox_%s{", metrics[metric].name);
    add_label(out, "sandbox", row->used.name);
    kh_buf_addf(out, ",");
    add_label(out, "owner", row->used.owner);
    kh_buf_addf(out, "%s} %.17g\n", metrics[metric].labels, metrics[metric].value(row));
}

static void
add_owner(struct kh_buf *out, size_t metric, const struct row *row)
{
    kh_buf_addf(out, "kernelhost_owner_%s{", metrics[metric].name);
    add_label(out, "owner", row->used.owner);
    kh_buf_addf(out, "%s} %.17g\n", metrics[metric].labels, metrics[metric].value(row));
}

static void
add_sandboxes(struct kh_buf *out, struct kh_gateway *gateway,
              const struct kh_ledger_sheet *sheet)
{
    AUTO_FREE struct row *rows = kh_xcalloc(sheet->used_count + 1, sizeof(*rows));
    size_t i, m, count = 0;
    char name[80];

    for (i = 0; i < sheet->used_count; i++) {
        rows[count] = (struct row){gateway, sheet->used[i],
                                   kh_usage_record(gateway, &sheet->used[i])};
        count += rows[count].record != NULL;
    }
    for (m = 0; m < KH_COUNT(metrics); m++) {
        snprintf(name, sizeof(name), "sandbox_%s", metrics[m].name);
        if (metrics[m].type)
            add_head(out, name, metrics[m].type, metrics[m].help);
        for (i = 0; i < count; i++)
            add_sandbox(out, m, &rows[i]);
    }
}

/* There is one owner (KH_DATABASE_OWNER). */
static void
add_owners(struct kh_buf *out, struct kh_gateway *gateway,
           const struct kh_ledger_sheet *sheet)
{
    struct row row = {.gateway = gateway, .used = {.owner = KH_DATABASE_OWNER}};
    char name[80];
    size_t i, m;

    for (i = 0; i < sheet->used_count; i++)
        kh_usage_add(&row.used, &sheet->used[i]);
    for (m = 0; m < KH_COUNT(metrics); m++) {
        if (!metrics[m].owner)
            continue;
        snprintf(name, sizeof(name), "owner_%s", metrics[m].name);
        if (metrics[m].type)
            add_head(out, name, metrics[m].type, metrics[m].help);
        add_owner(out, m, &row);
    }
}

static void
add_counts(struct kh_buf *out, struct kh_gateway *gateway)
{
    static const uint32_t states[] = {KH_SANDBOX_RUNNING, KH_SANDBOX_FROZEN,
                                      KH_SANDBOX_HIBERNATED, KH_SANDBOX_STOPPED};
    struct kh_sandbox *sandbox;
    unsigned i;
    size_t s;

    add_head(out, "sandboxes", "gauge", "Sandboxes there are.");
    for (s = 0; s < KH_COUNT(states); s++) {
        unsigned count = 0;

        for (i = 0; (sandbox = kh_registry_at(gateway->registry, i)); i++)
            count += kh_sandbox_record(sandbox)->state == states[s];
        kh_buf_addf(out, "kernelhost_sandboxes{state=\"%s\"} %u\n",
                    kh_v1_state(states[s]), count);
    }
    add_head(out, "info", "gauge", "The version that runs.");
    kh_buf_addf(out, "kernelhost_info{");
    add_label(out, "version", PACKAGE_VERSION);
    kh_buf_addf(out, "} 1\n");
}

static void
add_kernels(struct kh_buf *out, struct kh_gateway *gateway,
            const struct kh_ledger_sheet *sheet)
{
    static const struct {
        const char *name, *help;
    } heads[] = {{"kernel_cpu_seconds_total", "Processor time of its executions."},
                 {"kernel_executions_total", "Execute requests it answered."}};
    struct kh_sandbox *sandbox;
    size_t h, i, count;
    unsigned s;

    for (h = 0; h < KH_COUNT(heads); h++) {
        add_head(out, heads[h].name, "counter", heads[h].help);
        for (s = 0; (sandbox = kh_registry_at(gateway->registry, s)); s++) {
            const struct kh_worked *w =
                kh_usage_kernels(sheet, kh_sandbox_record(sandbox)->id, &count);

            for (i = 0; i < count; i++, w++) {
                if (!kh_sandbox_kernel(sandbox, w->kernel))
                    continue;
                kh_buf_addf(out, "kernelhost_%s{", heads[h].name);
                add_label(out, "sandbox", kh_sandbox_name(sandbox));
                kh_buf_addf(out, ",");
                add_label(out, "kernel", w->kernel);
                kh_buf_addf(out, "} %.17g\n",
                            h ? (double)w->executions : (double)w->cpu_usec / 1e6);
            }
        }
    }
}

static void
answer(struct kh_gateway *gateway, struct kh_http_request *request,
       const struct kh_ledger_sheet *sheet, uint64_t since, const char *name)
{
    struct kh_buf out = KH_BUF_INIT;

    (void)since;
    (void)name;
    add_counts(&out, gateway);
    add_sandboxes(&out, gateway, sheet);
    add_kernels(&out, gateway, sheet);
    add_owners(&out, gateway, sheet);
    kh_http_reply(request, 200, TYPE,
                  (struct kh_slice){kh_buf_ptr(&out), kh_buf_len(&out)});
    kh_buf_release(&out);
}

void
kh_v1_metrics(const struct kh_v1_call *call)
{
    kh_usage_read(call, 0, "", answer);
}
