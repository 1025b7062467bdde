/* gateway: what the parts of kernelhost-gateway share.
 *
 * One struct, made by main.c, alive as long as the loop runs. No part keeps
 * state in globals.
 */
#ifndef KH_GATEWAY_GATEWAY_H
#define KH_GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "kernelhost/gateway/config.h"

/* What an owner has, or would. */
struct kh_holding {
    uint64_t sandboxes, running;
    uint64_t memory; /* bytes, of those that are not stopped */
    uint64_t disk;   /* bytes */
};

struct kh_gateway {
    struct kh_loop *loop;
    struct kh_broker *broker;
    struct kh_heart *heart;
    struct kh_ledger *ledger;
    struct kh_database *database;
    struct kh_metering *metering;
    struct kh_registry *registry;
    struct kh_launches *launches;
    struct kh_http *http;
    bool ending;             /* nothing is forgotten because an object goes */
    bool leaving;            /* we end, the sandboxes do not: nobody is told anything */
    struct kh_config config; /* the operator's */
    struct kh_holding coming; /* see quota.h */
    uint64_t coming_snapshots;
    const char *public_dir; /* what clients call our working directory */
    /* Numbers of requests and processes rise for ever, over restarts of the
     * gateway too (init ignores what it has seen), so they begin at the time. */
    uint64_t last_number;
};

/* Subdirectories of the working directory, 0700. */
#define KH_DIR_SOCKETS     "k"
#define KH_DIR_CONNECTIONS "connect"

#endif
