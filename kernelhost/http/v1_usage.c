/* Usage: the ledger as JSON, with what it costs. The same for Prometheus: metrics.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "kernelhost/gateway/metering.h"
#include "kernelhost/gateway/registry.h"
#include "kernelhost/http/usage.h"

struct wait {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    char name[KH_NAME_SIZE]; /* "": all */
    uint64_t since;
    kh_usage_fn *fn;
};

double
kh_usage_cost(const struct kh_prices *prices, const struct kh_used *used)
{
    return prices->cpu_second * kh_usage_cpu(used) +
           prices->memory_gib_second * kh_usage_gib(used->memory) +
           prices->disk_gib_second * kh_usage_gib(used->disk);
}

const struct kh_broker_reply *
kh_usage_record(struct kh_gateway *gateway, const struct kh_used *used)
{
    struct kh_sandbox *sandbox = kh_registry_find(gateway->registry, used->name);

    if (used->removed || !sandbox ||
        memcmp(kh_sandbox_record(sandbox)->id, used->id, KH_ID_SIZE) != 0)
        return NULL;
    return kh_sandbox_record(sandbox);
}

/* They stand by sandbox. */
const struct kh_worked *
kh_usage_kernels(const struct kh_ledger_sheet *sheet, const uint8_t id[KH_ID_SIZE],
                 size_t *ret_count)
{
    size_t low = 0, high = sheet->worked_count, end;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (memcmp(sheet->worked[middle].sandbox, id, KH_ID_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (end = low; end < sheet->worked_count &&
                    !memcmp(sheet->worked[end].sandbox, id, KH_ID_SIZE);)
        end++;
    *ret_count = end - low;
    return end > low ? &sheet->worked[low] : NULL;
}

static void
on_sheet(void *arg, const struct kh_ledger_sheet *sheet, const struct kh_error *err)
{
    struct wait *wait = arg;

    if (err)
        kh_v1_error(wait->request, err);
    else
        wait->fn(wait->gateway, wait->request, sheet, wait->since, wait->name);
    free(wait);
}

static void
on_refreshed(void *arg, const struct kh_error *err)
{
    struct wait *wait = arg;

    if (err) {
        kh_v1_error(wait->request, err);
        free(wait);
        return;
    }
    kh_database_read_ledger(wait->gateway->database, wait->since, wait->name, on_sheet,
                            wait);
}

void
kh_usage_read(const struct kh_v1_call *call, uint64_t since, const char *name,
              kh_usage_fn *fn)
{
    struct wait *wait = kh_xcalloc(1, sizeof(*wait));

    wait->gateway = call->gateway;
    wait->request = call->request;
    wait->since = since;
    wait->fn = fn;
    snprintf(wait->name, sizeof(wait->name), "%s", name);
    kh_metering_refresh(call->gateway->metering, on_refreshed, wait);
}

/* ---- JSON ---- */

static json_t *
kernels_of(const struct kh_ledger_sheet *sheet, const struct kh_used *used)
{
    json_t *array = json_array();
    size_t i, count;
    const struct kh_worked *w = kh_usage_kernels(sheet, used->id, &count);

    for (i = 0; i < count; i++, w++)
        json_array_append_new(
            array, json_pack("{s:s, s:s, s:I, s:f, s:f}", "id", w->kernel, "language",
                             w->kind, "executions", (json_int_t)w->executions,
                             "cpu_seconds", (double)w->cpu_usec / 1e6, "wall_seconds",
                             (double)w->wall_usec / 1e6));
    return array;
}

static json_t *
sums_json(const struct kh_prices *prices, const struct kh_used *used)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:f}", "cpu_seconds",
                     kh_usage_cpu(used), "memory_gib_seconds",
                     kh_usage_gib(used->memory), "disk_gib_seconds",
                     kh_usage_gib(used->disk), "running_seconds",
                     used->running_ms / 1e3, "frozen_seconds", used->frozen_ms / 1e3,
                     "hibernated_seconds", used->hibernated_ms / 1e3, "executions",
                     (json_int_t)used->executions, "cost", kh_usage_cost(prices, used));
}

static json_t *
sandbox_json(struct kh_gateway *gateway, const struct kh_ledger_sheet *sheet,
             const struct kh_used *used, bool kernels)
{
    const struct kh_broker_reply *record = kh_usage_record(gateway, used);
    json_t *object = sums_json(&gateway->config.prices, used);
    char id[2 * KH_ID_SIZE + 1];

    kh_v1_id_text(used->id, id);
    json_object_set_new(object, "name", json_string(used->name));
    json_object_set_new(object, "id", json_string(id));
    json_object_set_new(object, "owner", json_string(used->owner));
    json_object_set_new(object, "state",
                        json_string(record ? kh_v1_state(record->state) : "removed"));
    json_object_set_new(object, "created", kh_v1_date(used->created));
    json_object_set_new(object, "removed", kh_v1_date(used->removed));
    json_object_set_new(object, "disk_bytes", json_integer((json_int_t)used->disk_now));
    if (kernels)
        json_object_set_new(object, "kernels", kernels_of(sheet, used));
    return object;
}

static void
answer(struct kh_gateway *gateway, struct kh_http_request *request,
       const struct kh_ledger_sheet *sheet, uint64_t since, const char *name)
{
    const struct kh_prices *prices = &gateway->config.prices;
    struct kh_used total = {.disk_now = 0};
    uint64_t now = (uint64_t)time(NULL);
    json_t *array;
    size_t i;

    if (*name && !sheet->used_count) {
        kh_v1_fail(request, 404, "not_found", "there is and was no sandbox '%s'", name);
        return;
    }
    array = json_array();
    for (i = 0; i < sheet->used_count; i++) {
        kh_usage_add(&total, &sheet->used[i]);
        json_array_append_new(
            array, sandbox_json(gateway, sheet, &sheet->used[i], since == 0));
    }
    kh_v1_reply(request, 200,
                json_pack("{s:o, s:{s:f, s:f, s:f}, s:o, s:o}", "since",
                          kh_v1_date(kh_database_ledger_since(since, now)), "prices",
                          "cpu_second", prices->cpu_second, "memory_gib_second",
                          prices->memory_gib_second, "disk_gib_second",
                          prices->disk_gib_second, "sandboxes", array, "total",
                          sums_json(prices, &total)));
}

void
kh_usage_add(struct kh_used *sum, const struct kh_used *more)
{
    sum->cpu_usec += more->cpu_usec;
    sum->memory += more->memory;
    sum->disk += more->disk;
    sum->running_ms += more->running_ms;
    sum->frozen_ms += more->frozen_ms;
    sum->hibernated_ms += more->hibernated_ms;
    sum->executions += more->executions;
}

/* Seconds since 1970, as many as fit a date. */
static int
read_since(const char *text, uint64_t *ret_since, struct kh_error *err)
{
    char *end;

    *ret_since = 0;
    if (!*text)
        return 0;
    *ret_since = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || *ret_since > 253402300799ull)
        return kh_fail(err, EINVAL, "'since' is a number of seconds since 1970");
    return 0;
}

void
kh_v1_usage(const struct kh_v1_call *call)
{
    char name[KH_NAME_SIZE + 1], text[40];
    struct kh_error err;
    uint64_t since;

    kh_http_query(call->request, "sandbox", name, sizeof(name));
    kh_http_query(call->request, "since", text, sizeof(text));
    if (read_since(text, &since, &err) < 0)
        kh_v1_error(call->request, &err);
    else if (*name && !kh_name_valid(name))
        kh_v1_fail(call->request, 400, "invalid", "a sandbox name is " KH_NAME_RULE);
    else
        kh_usage_read(call, since, name, answer);
}
