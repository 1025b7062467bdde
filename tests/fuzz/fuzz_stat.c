#include <stdio.h>

#include "base/mem.h"
#include "sandbox/init/session.h"
#include "tests/fuzz/fuzz.h"

/* No name of a process hides which session it is in. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = kh_xmemdup(data, size), stat[128], state;
    pid_t group, session;

    kh_session_parse(text, &state, &group, &session);
    snprintf(stat, sizeof(stat), "7 (%.64s) S 1 42 43 0 -1 4194560 1 2", text);
    MUST(kh_session_parse(stat, &state, &group, &session));
    MUST(state == 'S' && group == 42 && session == 43);
    free(text);
    return 0;
}
