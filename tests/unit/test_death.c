#include "kernelhost/gateway/death.h"

#include <signal.h>

#include "tests/tap.h"

#define EXITED(status) ((uint32_t)(status) << 8)

static const struct {
    struct kh_death death;
    const char *want;
} table[] = {
    {{.status = EXITED(3)}, "the kernel died: exit status 3"},
    {{.status = EXITED(0)}, "the kernel ended (exit status 0)"},
    {{.status = SIGSEGV},
     "the kernel died: SIGSEGV (invalid memory access in native code)"},
    {{.status = SIGABRT | 0x80},
     "the kernel died: SIGABRT (native code gave up by abort())"},
    {{.status = SIGTERM}, "the kernel died: SIGTERM"},
    {{.status = 34}, "the kernel died: signal number 34"},
    {{.status = SIGKILL},
     "the kernel died: SIGKILL (killed from outside or by itself)"},
    {{.status = SIGKILL, .oom_kills = 2, .memory_limit = 512ull << 20},
     "the kernel died: memory limit of 512 MiB reached (2 processes killed)"},
    {{.status = SIGKILL, .oom_kills = 1, .memory_limit = 1536ull << 20},
     "the kernel died: memory limit of 1.5 GiB reached (1 process killed)"},
    {{.status = SIGKILL, .oom_kills = 1},
     "the kernel died: memory limit of the sandbox reached (1 process killed)"},
    {{.status = EXITED(1), .oom_kills = 1, .memory_limit = 1 << 30},
     "the kernel died: exit status 1"},
    {{.status = KH_STATUS_UNKNOWN}, "the kernel could not be started"},
    {{.status = KH_STATUS_UNKNOWN, .reason = ""}, "the kernel could not be started"},
    {{.status = KH_STATUS_UNKNOWN, .reason = "no python3"},
     "the kernel could not be started: no python3"},
    {{.status = 0x137f}, "the kernel died: wait status 0x137f"},
};

int
main(void)
{
    char text[KH_DEATH_TEXT_MAX], reason[1000];
    struct kh_death death = {.status = KH_STATUS_UNKNOWN, .reason = reason};
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(*table); i++) {
        kh_death_text(&table[i].death, text);
        is_str(text, table[i].want, "%s", table[i].want);
    }
    memset(reason, 'x', sizeof(reason));
    reason[sizeof(reason) - 1] = '\0';
    kh_death_text(&death, text);
    ok(strlen(text) < KH_DEATH_TEXT_MAX, "a long reason is cut");
    kh_death_size(300, text, sizeof(text));
    is_str(text, "300 bytes", "bytes are bytes");
    kh_death_size(2ull << 50, text, sizeof(text));
    is_str(text, "2 PiB", "the largest unit is the last");
    return done();
}
