/* limits: memory, processors, tasks and disk as people write them. Pure. */
#ifndef KH_GATEWAY_LIMITS_H
#define KH_GATEWAY_LIMITS_H

#include <jansson.h>

#include "base/error.h"
#include "protocol/link/broker.h"

/* Reads "memory" (bytes, or text like "512M"; K, M, G are powers of 1024, an
 * ending B or iB is allowed), "cpus" (0.01 .. 1000), "pids" and "disk" (as memory) of
 * an object into *ret_limits; what is absent stays 0, the host's preset. Whether the
 * host has so much is kernelhostd's to say. -EINVAL names the field. */
int kh_limits_read(const json_t *object, struct kh_limits *ret_limits,
                   struct kh_error *err);

/* A number of bytes, from 1 on, in the same ways. */
int kh_limits_bytes(const json_t *value, uint64_t *ret_bytes, struct kh_error *err);

/* One text with a unit, as above. */
int kh_limits_memory(const char *text, uint64_t *ret_bytes, struct kh_error *err);

#endif
