/* usage: reading the ledger for an answer, shared by v1_usage.c (JSON) and metrics.c
 * (Prometheus).
 */
#ifndef KH_HTTP_USAGE_H
#define KH_HTTP_USAGE_H

#include "kernelhost/gateway/database.h"
#include "kernelhost/http/v1.h"

/* Answers REQUEST. */
typedef void kh_usage_fn(struct kh_gateway *gateway, struct kh_http_request *request,
                         const struct kh_ledger_sheet *sheet, uint64_t since,
                         const char *name);

/* Brings the ledger up to now, reads it, and calls FN; what fails is answered here.
 * NAME "": all. */
void kh_usage_read(const struct kh_v1_call *call, uint64_t since, const char *name,
                   kh_usage_fn *fn);

void kh_usage_add(struct kh_used *sum, const struct kh_used *more);

/* In dollars. */
double kh_usage_cost(const struct kh_prices *prices, const struct kh_used *used);

/* What is known of the sandbox that is there now, or NULL: it was removed. */
const struct kh_broker_reply *kh_usage_record(struct kh_gateway *gateway,
                                              const struct kh_used *used);

/* The rows of sandbox ID's kernels in SHEET. */
const struct kh_worked *kh_usage_kernels(const struct kh_ledger_sheet *sheet,
                                         const uint8_t id[KH_ID_SIZE],
                                         size_t *ret_count);

/* Seconds; and KiB x ms as GiB x s. */
static inline double
kh_usage_cpu(const struct kh_used *used)
{
    return used->cpu_usec / 1e6;
}

static inline double
kh_usage_gib(double kib_ms)
{
    return kib_ms / (1024.0 * 1024.0 * 1000.0);
}

#endif
