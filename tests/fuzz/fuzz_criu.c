#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sandbox/host/birth.h"
#include "sandbox/host/criu.h"
#include "tests/fuzz/fuzz.h"

/* What lies with the memory of a sandbox: CRIU's log, in which names of its files are,
 * and a birth. The cause of a failure is one printable line; what is taken for a birth
 * is the same when written and read again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *log = kh_xcalloc(1, size + 1), cause[100];
    unsigned char bytes[KH_BIRTH_SIZE], same[KH_BIRTH_SIZE];
    struct kh_birth birth, again;
    const char *at;

    memcpy(log, data, size);
    kh_criu_cause(log, cause, sizeof(cause));
    MUST(strlen(cause) < sizeof(cause));
    for (at = cause; *at; at++)
        MUST(*at >= ' ' && *at <= '~');
    free(log);
    kh_birth_decode(data, size, &birth, NULL);
    birth = (struct kh_birth){.pid = 2, .id_first = 1};
    MUST(kh_birth_encode(&birth, bytes, sizeof(bytes)) == sizeof(bytes));
    fuzz_record(bytes, sizeof(bytes), data, size);
    if (kh_birth_decode(bytes, sizeof(bytes), &birth, NULL) == 0) {
        MUST(kh_birth_encode(&birth, bytes, sizeof(bytes)) == KH_BIRTH_SIZE);
        MUST(kh_birth_decode(bytes, sizeof(bytes), &again, NULL) == 0);
        MUST(kh_birth_encode(&again, same, sizeof(same)) == KH_BIRTH_SIZE);
        MUST(!memcmp(bytes, same, sizeof(same)));
    }
    return 0;
}
