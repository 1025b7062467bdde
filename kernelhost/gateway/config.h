/* config: what the operator has written into STATE/config.json.
 *
 *     {"prices": {"cpu_second": 0.00002, "memory_gib_second": 0, "disk_gib_second": 0},
 *      "quotas": {"local": {"sandboxes": 100, "running": 20, "memory": "64G",
 *                           "disk": "500G", "snapshots": 200, "forks": 16}}}
 *
 * Read once, before the gateway confines itself; `kernelhost restart` reads it again.
 * What is absent has its preset. A file that cannot be read or understood must not end
 * a host under its sandboxes, nor lift a quota: whatever needs a quota is refused until
 * it is right (quota.h). Pure but for kh_config_load.
 */
#ifndef KH_GATEWAY_CONFIG_H
#define KH_GATEWAY_CONFIG_H

#include <stdint.h>

#include "base/error.h"
#include "protocol/link/frame.h"

#define KH_CONFIG_FILE "config.json"
#define KH_CONFIG_MAX  (1024u * 1024)

/* Dollars. */
struct kh_prices {
    double cpu_second; /* of a processor that was busy */
    double memory_gib_second;
    double disk_gib_second;
};

/* What one owner may have; 0: as much as there is. */
struct kh_quota {
    uint64_t sandboxes; /* that exist */
    uint64_t running;   /* that are not stopped, asleep or not */
    uint64_t memory;    /* bytes: limits of those, together */
    uint64_t disk;      /* bytes: limits of all, together */
    uint64_t snapshots;
    uint64_t forks; /* children of one fork */
};

struct kh_config {
    struct kh_prices prices;
    struct kh_quota quota; /* of KH_DATABASE_OWNER, the one there is */
    struct kh_error bad;   /* code 0: it is all right */
};

/* Reads the bytes of a file. An error names the field. */
int kh_config_parse(struct kh_slice text, struct kh_config *ret_config,
                    struct kh_error *err);

/* Reads PATH (NULL: there is none). */
void kh_config_load(const char *path, struct kh_config *ret_config);

#endif
