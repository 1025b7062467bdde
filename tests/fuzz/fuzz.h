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

#endif
