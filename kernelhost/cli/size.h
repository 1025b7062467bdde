/* size: the numbers a user writes as limits, and the way we print them. Pure. */
#ifndef KH_CLI_SIZE_H
#define KH_CLI_SIZE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes from "512M", "1.5G", "65536", "64KiB" (K, M, G, T of 1024; an ending B
 * or iB is allowed). Not 0, at most 2^62. -EINVAL otherwise. */
int kh_size_parse(const char *text, uint64_t *ret_bytes, struct kh_error *err);

/* Thousandths of a processor from "2", "0.5", ".25"; 10 to 4,096,000. */
int kh_cpus_parse(const char *text, uint32_t *ret_milli, struct kh_error *err);

/* A whole number from LOW to HIGH. WHAT names it in the error. */
int kh_count_parse(const char *what, const char *text, uint64_t low, uint64_t high,
                   uint64_t *ret, struct kh_error *err);

/* Seconds from "90", "90s", "10m", "2h", "1.5d". 1 to ten years; -EINVAL otherwise. */
int kh_time_parse(const char *text, uint64_t *ret_seconds, struct kh_error *err);

#define KH_SIZE_TEXT 24

/* "512M", "1.5G", "17K", "300": at most one decimal, K, M, G, T of 1024. */
char *kh_size_text(uint64_t bytes, char out[static KH_SIZE_TEXT]);

#endif
