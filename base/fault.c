#include "base/fault.h"

#ifdef KH_FAULTS

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"

int
kh_fault(const char *name, struct kh_error *err)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {
        {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM}};
    const char *wish = getenv("KH_FAULT");
    size_t length = strlen(name), i;

    if (!wish || strncmp(wish, name, length) != 0 || wish[length] != '=')
        return 0;
    wish += length + 1;
    if (!strcmp(wish, "kill"))
        kill(getpid(), SIGKILL);
    for (i = 0; i < KH_COUNT(codes); i++)
        if (!strcmp(wish, codes[i].name)) {
            errno = codes[i].code;
            return kh_fail_errno(err, "fault '%s'", name);
        }
    return 0;
}

#else
/* An empty translation unit is none in C. */
extern int kh_no_faults;
#endif
