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

/* No mutation would get the checksum of the last eight bytes right. */
static void
set_checksum(unsigned char bytes[KH_RECORD_SIZE])
{
    uint32_t crc = ~0u;
    size_t i;
    int bit;

    for (i = 0; i < KH_RECORD_SIZE - 8; i++)
        for (crc ^= bytes[i], bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
    for (i = 0; i < 4; i++)
        bytes[KH_RECORD_SIZE - 8 + i] = (unsigned char)(~crc >> (8 * i));
}

/* The input as a record, and as places (two bytes) and values to put into a good one.
 * What is taken is the same when written and read again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char bytes[KH_RECORD_SIZE], same[KH_RECORD_SIZE];
    struct kh_record record, again;
    struct kh_meter meter;

    kh_record_decode(data, size, &record, NULL);
    kh_meter_decode(data, size, &meter, NULL);
    encode(bytes);
    for (; size >= 3; data += 3, size -= 3)
        bytes[((size_t)data[0] << 8 | data[1]) % KH_RECORD_SIZE] = data[2];
    set_checksum(bytes);
    if (kh_record_decode(bytes, sizeof(bytes), &record, NULL) == 0) {
        MUST(kh_record_encode(&record, bytes, sizeof(bytes)) == KH_RECORD_SIZE);
        MUST(kh_record_decode(bytes, sizeof(bytes), &again, NULL) == 0);
        MUST(kh_record_encode(&again, same, sizeof(same)) == KH_RECORD_SIZE);
        MUST(!memcmp(bytes, same, sizeof(same)));
    }
    return 0;
}
