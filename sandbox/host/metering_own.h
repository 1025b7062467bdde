/* metering_own: the inside of the metering, shared by metering.c (looking) and
 * metering_file.c (files, and removed sandboxes). Nobody else includes it.
 */
#ifndef KH_HOST_METERING_OWN_H
#define KH_HOST_METERING_OWN_H

#include "sandbox/host/metering.h"

/* One of a removed sandbox; while an earlier host's are taken over, of any. */
struct kh_metered {
    uint64_t number;
    struct kh_meter meter;
};

struct kh_metering {
    int dir, timer;
    struct kh_watch watch;
    char boot[KH_METER_BOOT_SIZE];
    uint64_t next; /* number of the box that was looked at last */
    struct kh_metered *ended;
    size_t count, size;
    uint64_t last;
};

/* Reads all files. */
int kh_metering_load(struct kh_metering *metering, struct kh_error *err);

/* Writes METER's; does not wait for the disk. */
int kh_metering_save(struct kh_metering *metering, const struct kh_meter *meter,
                     struct kh_error *err);

#endif
