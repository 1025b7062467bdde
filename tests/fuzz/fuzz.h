/* fuzz: what every harness shares: the entry point, and an oracle that stops. */
#ifndef KH_TESTS_FUZZ_H
#define KH_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that holds for every input; libFuzzer reports the abort. */
#define MUST(condition)                                                                \
    do {                                                                               \
        if (!(condition))                                                              \
            abort();                                                                   \
    } while (0)

/* No mutation would get the checksum in the last eight bytes of a record right. */
static inline void
fuzz_checksum(unsigned char *bytes, size_t size)
{
    uint32_t crc = ~0u;
    size_t i;
    int bit;

    for (i = 0; i < size - 8; i++)
        for (crc ^= bytes[i], bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
    for (i = 0; i < 4; i++)
        bytes[size - 8 + i] = (unsigned char)(~crc >> (8 * i));
}

/* Puts the input into a good record, as places (two bytes) and values. */
static inline void
fuzz_record(unsigned char *bytes, size_t size, const uint8_t *data, size_t data_size)
{
    for (; data_size >= 3; data += 3, data_size -= 3)
        bytes[((size_t)data[0] << 8 | data[1]) % size] = data[2];
    fuzz_checksum(bytes, size);
}

#endif
