#include <stdio.h>

#include "base/mem.h"
#include "sandbox/init/session.h"
#include "tests/fuzz/fuzz.h"

/* No name of a process hides which session it is in. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = kh_xmemdup(data, size), stat[160];
    struct kh_session_member m;

    kh_session_parse(text, &m);
    snprintf(stat, sizeof(stat),
             "7 (%.64s) S 1 42 43 0 -1 4194560 1 2 3 4 5 6 7 8 9 10 11 0 77 2", text);
    MUST(kh_session_parse(stat, &m));
    MUST(m.state == 'S' && m.group == 42 && m.session == 43 && m.flags == 4194560 &&
         m.start == 77);
    free(text);
    return 0;
}
