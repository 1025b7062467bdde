#include <stdio.h>

#include "sandbox/host/meter.h"
#include "sandbox/host/store.h"
#include "tests/fuzz/fuzz.h"

/* A record as it stands on the disk. */
static void
encode(unsigned char bytes[KH_RECORD_SIZE])
{
    struct kh_record record = {.state = KH_SANDBOX_STOPPED, .created = 1};

    snprintf(record.name, sizeof(record.name), "box");
    snprintf(record.image, sizeof(record.image), "default");
    kh_id_text(record.id, record.image_id);
    MUST(kh_record_encode(&record, bytes, KH_RECORD_SIZE) == KH_RECORD_SIZE);
}

static void
meter(const uint8_t *data, size_t size)
{
    unsigned char bytes[KH_METER_SIZE], same[KH_METER_SIZE];
    struct kh_meter meter = {.created = 1}, again;

    kh_meter_decode(data, size, &again, NULL);
    snprintf(meter.name, sizeof(meter.name), "box");
    MUST(kh_meter_encode(&meter, bytes, sizeof(bytes)) == sizeof(bytes));
    fuzz_record(bytes, sizeof(bytes), data, size);
    if (kh_meter_decode(bytes, sizeof(bytes), &meter, NULL) < 0)
        return;
    MUST(kh_meter_encode(&meter, bytes, sizeof(bytes)) == sizeof(bytes));
    MUST(kh_meter_decode(bytes, sizeof(bytes), &again, NULL) == 0);
    MUST(kh_meter_encode(&again, same, sizeof(same)) == sizeof(same));
    MUST(!memcmp(bytes, same, sizeof(same)));
}

/* The input as a record, and as places (two bytes) and values to put into a good one.
 * What is taken is the same when written and read again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char bytes[KH_RECORD_SIZE], same[KH_RECORD_SIZE];
    struct kh_record record, again;

    kh_record_decode(data, size, &record, NULL);
    meter(data, size);
    encode(bytes);
    fuzz_record(bytes, sizeof(bytes), data, size);
    if (kh_record_decode(bytes, sizeof(bytes), &record, NULL) == 0) {
        MUST(kh_record_encode(&record, bytes, sizeof(bytes)) == KH_RECORD_SIZE);
        MUST(kh_record_decode(bytes, sizeof(bytes), &again, NULL) == 0);
        MUST(kh_record_encode(&again, same, sizeof(same)) == KH_RECORD_SIZE);
        MUST(!memcmp(bytes, same, sizeof(same)));
    }
    return 0;
}
