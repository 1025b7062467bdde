#include <stdio.h>

#include "sandbox/host/snapshot.h"
#include "tests/fuzz/fuzz.h"

/* A record as it stands on the disk. */
static void
encode(unsigned char bytes[KH_SNAPSHOT_RECORD_SIZE])
{
    struct kh_snapshot_record record = {.created = 1};

    snprintf(record.name, sizeof(record.name), "snap");
    snprintf(record.sandbox, sizeof(record.sandbox), "box");
    snprintf(record.image, sizeof(record.image), "default");
    kh_id_text(record.id, record.image_id);
    MUST(kh_snapshot_encode(&record, bytes, KH_SNAPSHOT_RECORD_SIZE) ==
         KH_SNAPSHOT_RECORD_SIZE);
}

/* The input as a record, and as places (two bytes) and values to put into a good one.
 * What is taken is the same when written and read again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char bytes[KH_SNAPSHOT_RECORD_SIZE], same[KH_SNAPSHOT_RECORD_SIZE];
    struct kh_snapshot_record record, again;

    kh_snapshot_decode(data, size, &record, NULL);
    encode(bytes);
    fuzz_record(bytes, sizeof(bytes), data, size);
    if (kh_snapshot_decode(bytes, sizeof(bytes), &record, NULL) == 0) {
        MUST(kh_name_valid(record.name) && kh_name_valid(record.sandbox));
        MUST(kh_snapshot_encode(&record, bytes, sizeof(bytes)) == sizeof(bytes));
        MUST(kh_snapshot_decode(bytes, sizeof(bytes), &again, NULL) == 0);
        MUST(kh_snapshot_encode(&again, same, sizeof(same)) == sizeof(same));
        MUST(!memcmp(bytes, same, sizeof(same)));
    }
    return 0;
}
