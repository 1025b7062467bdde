/* meter: what one sandbox has used, all its starts together.
 *
 * Adds up readings of counters that begin anew: those of a control group are 0 with
 * each start of the sandbox, stay while it is frozen, and are 0 again in the new group
 * that it wakes in from the disk. A group is known by its number, which the kernel
 * gives once a boot; what was seen of it is kept beside the sum, in the same file, so
 * that nothing is added twice whenever kernelhostd dies. Time and memory are sums over
 * the intervals between readings. Pure but for its file.
 */
#ifndef KH_HOST_METER_H
#define KH_HOST_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/link/broker.h"

#define KH_METER_SIZE      512
#define KH_METER_BOOT_SIZE 40

struct kh_meter {
    uint8_t id[KH_ID_SIZE];
    char name[KH_NAME_SIZE];
    uint64_t created; /* seconds since 1970 */
    struct kh_account sum;
    uint64_t group; /* which group was read; 0: none yet */
    uint64_t seen;  /* processor time of it that is in the sum, microseconds */
    uint64_t at;    /* when it was read, ms since the boot; 0: never */
    char boot[KH_METER_BOOT_SIZE]; /* which boot */
    uint64_t memory;               /* bytes, then */
    uint32_t state;                /* enum kh_sandbox_state, since then */
    bool unseen; /* nobody looked since: read from the file; not in it */
};

struct kh_reading {
    uint64_t at;    /* ms since the boot */
    uint64_t group; /* 0: there is none, or it cannot be read */
    uint64_t cpu_usec;
    uint64_t memory, disk; /* bytes */
    uint32_t state;
};

/* Adds what was used since the last reading. The interval counts as the state that was
 * seen at its beginning; one that nobody saw counts if the state is still the same,
 * and then by the lower of both ends. */
void kh_meter_add(struct kh_meter *meter, const struct kh_reading *now);

/* Begins from zero, now. */
void kh_meter_begin(struct kh_meter *meter, const struct kh_reading *now);

/* Adds no processor time that was counted since the last reading. */
void kh_meter_skip(struct kh_meter *meter, const struct kh_reading *now);

/* Another boot: no group of before is there, and the time between does not count. */
void kh_meter_rebooted(struct kh_meter *meter, const char *boot);

/* Bytes to meter and back, as kh_record_encode and _decode. */
size_t kh_meter_encode(const struct kh_meter *meter, void *out, size_t size);
int kh_meter_decode(const void *data, size_t size, struct kh_meter *ret_meter,
                    struct kh_error *err);

#endif
