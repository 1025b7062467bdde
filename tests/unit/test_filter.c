/* The seccomp programs, asked about calls of which most are never made: every
 * number against a golden table, and every argument rule, with garbage in the
 * halves that the kernel ignores, against a predicate written from the policy in
 * SECURITY.md and not from filter.c. */
#include <errno.h>
#include <linux/audit.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/mem.h"
#include "sandbox/host/filter.h"
#include "tests/data.h"
#include "tests/tap.h"
#include "tests/unit/cbpf.h"

#define NUMBERS 512
#define ALLOW   SECCOMP_RET_ALLOW
#define KILL    SECCOMP_RET_KILL_PROCESS
#define NO(e)   (SECCOMP_RET_ERRNO | (e))
#define ANY_NO  1u /* denied, and the policy does not care with which errno */
#define HIGH    0xdeadbeef00000000ull

static struct sock_fprog programs[KH_FILTER_PROGRAMS];
static struct cbpf_cover covers[KH_FILTER_PROGRAMS];
static uint32_t golden[NUMBERS];

static uint32_t
ask_on(uint32_t arch, unsigned nr, const uint64_t args[6])
{
    struct seccomp_data data = {.nr = (int)nr, .arch = arch};

    data.instruction_pointer = 0x7fffdeadbeef;
    if (args)
        memcpy(data.args, args, sizeof(data.args));
    return cbpf_stack(programs, KH_FILTER_PROGRAMS, &data, covers);
}

static uint32_t
ask(unsigned nr, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t args[6] = {a, b, c};

    return ask_on(AUDIT_ARCH_X86_64, nr, args);
}

/* ---- the table ---- */

static uint32_t
verdict(const char *word)
{
    if (!strcmp(word, "allow"))
        return ALLOW;
    return !strcmp(word, "EPERM")    ? NO(EPERM)
           : !strcmp(word, "ENOSYS") ? NO(ENOSYS)
                                     : 0;
}

static void
read_golden(void)
{
    struct kh_slice text = data_file("seccomp/%s", "x86_64.csv");
    char *copy = kh_xasprintf("%.*s", (int)text.size, (const char *)text.data);
    char *line, *save = NULL;
    unsigned rows = 0;

    for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[40] = "", word[16] = "";
        unsigned nr;

        if (sscanf(line, "%u,%39[^,],%15[^,]", &nr, name, word) != 3 &&
            sscanf(line, "%u,,%15[^,]", &nr, word) != 2)
            continue;
        if (nr < NUMBERS && !golden[nr]) {
            golden[nr] = verdict(word);
            rows += golden[nr] != 0;
        }
    }
    free(copy);
    free((void *)text.data);
    is_int(rows, NUMBERS, "the table has a verdict for each of %d numbers", NUMBERS);
}

/* Arguments with which a call that is allowed at all is allowed. */
static uint32_t
ask_harmless(unsigned nr)
{
    return ask(nr, nr == SYS_socket || nr == SYS_socketpair ? AF_UNIX : 0,
               nr == SYS_socket || nr == SYS_socketpair ? SOCK_STREAM : 0, 0);
}

static void
numbers(void)
{
    unsigned nr, wrong = 0, open = 0;

    for (nr = 0; nr < NUMBERS; nr++) {
        uint32_t got = ask_harmless(nr);

        open += got == ALLOW;
        if (got != golden[nr]) {
            wrong++;
            printf("# syscall %u: got %x, want %x\n", nr, got, golden[nr]);
        }
    }
    ok(wrong == 0, "every number has the verdict of the table");
    ok(open < 307, "it is narrower than Docker's (%u allowed)", open);
    for (nr = 512, wrong = 0; nr < 0x3fffffff; nr += nr < 70000 ? 1 : 65521)
        wrong += ask(nr, 0, 0, 0) != NO(ENOSYS);
    wrong += ask(0x3fffffff, 0, 0, 0) != NO(ENOSYS);
    ok(wrong == 0, "numbers that no kernel knows do not exist");
}

static void
architectures(void)
{
    static const uint32_t others[] = {AUDIT_ARCH_I386,
                                      AUDIT_ARCH_AARCH64,
                                      AUDIT_ARCH_ARM,
                                      AUDIT_ARCH_X86_64 ^ 1,
                                      0,
                                      ~0u};
    unsigned nr, wrong = 0;
    size_t i;

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        for (nr = 0; nr < NUMBERS; nr++)
            wrong += ask_on(others[i], nr, NULL) != KILL;
    ok(wrong == 0, "a foreign architecture is the end");
    for (nr = 0, wrong = 0; nr < NUMBERS; nr++)
        wrong += ask(0x40000000u | nr, 0, 0, 0) != KILL;
    wrong += ask(0x7fffffff, 0, 0, 0) != KILL;
    wrong += ask(0x80000000, 0, 0, 0) != KILL;
    ok(wrong == 0, "x32 is the end");
    ok(ask(~0u, 0, 0, 0) != ALLOW, "number -1 is not allowed");
}

/* ---- arguments: the policy, written a second time ---- */

/* What the kernel sees of an int or unsigned argument. */
static uint32_t
low(uint64_t value)
{
    return (uint32_t)value;
}

static bool
clean(uint64_t value)
{
    return value >> 32 == 0;
}

static uint32_t
want_socket(const uint64_t *a, bool pair)
{
    uint32_t family = low(a[0]), type = low(a[1]) & 0xf, protocol = low(a[2]);
    bool inet = family == AF_INET || family == AF_INET6;

    if (family != AF_UNIX && family != AF_NETLINK && !inet)
        return clean(a[0]) ? NO(EAFNOSUPPORT) : ANY_NO;
    if (!clean(a[0]))
        return ANY_NO;
    if (pair || family == AF_UNIX)
        return ALLOW;
    if (family == AF_NETLINK)
        return protocol == 0 && clean(a[2]) ? ALLOW : NO(EPROTONOSUPPORT);
    if (!clean(a[2]))
        return NO(EPROTONOSUPPORT);
    if ((type == SOCK_STREAM && (protocol == 0 || protocol == 6)) ||
        (type == SOCK_DGRAM && (protocol == 0 || protocol == 17)))
        return ALLOW;
    return NO(EPROTONOSUPPORT);
}

/* TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD, TIOCVHANGUP, KDSKBSENT */
static uint32_t
want_ioctl(const uint64_t *a)
{
    static const uint32_t closed[] = {0x5412, 0x541c, 0x541d, 0x5423, 0x5437, 0x4b49};
    size_t i;

    for (i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
        if (low(a[1]) == closed[i])
            return NO(EPERM);
    return ALLOW;
}

/* NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET; the low byte is the signal,
 * which is why clone cannot make time namespaces. */
static uint32_t
want_clone(const uint64_t *a)
{
    return low(a[0]) & 0x7e020000u ? NO(EPERM) : ALLOW;
}

static uint32_t
want_personality(const uint64_t *a)
{
    switch (low(a[0])) {
    case 0:
    case 8:
    case 0x20000:
    case 0x20008:
    case 0xffffffff:
        return ALLOW;
    default:
        return ANY_NO;
    }
}

static uint32_t
want_mode(uint64_t mode)
{
    return S_ISCHR(low(mode) & 0xffff) || S_ISBLK(low(mode) & 0xffff) ? NO(EPERM)
                                                                      : ALLOW;
}

static uint32_t
want(unsigned nr, const uint64_t *a)
{
    switch (nr) {
    case SYS_socket:
    case SYS_socketpair:
        return want_socket(a, nr == SYS_socketpair);
    case SYS_ioctl:
        return want_ioctl(a);
    case SYS_clone:
        return want_clone(a);
    case SYS_personality:
        return want_personality(a);
    case SYS_mknod:
        return want_mode(a[1]);
    case SYS_mknodat:
        return want_mode(a[2]);
    case SYS_seccomp:
        return low(a[1]) & 8 ? NO(EPERM) : ALLOW; /* NEW_LISTENER */
    default:
        return nr < NUMBERS ? golden[nr] : NO(ENOSYS);
    }
}

/* xorshift: the same cases in every run. */
static uint64_t
random64(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Values near which the rules change, with and without garbage above and below. */
static uint64_t
value(void)
{
    static const uint64_t edges[] = {
        0,          1,          2,          3,          4,         5,
        6,          7,          8,          9,          10,        11,
        12,         13,         14,         15,         16,        17,
        18,         38,         40,         44,         63,        64,
        136,        255,        262,        0x5412,     0x541c,    0x541d,
        0x5423,     0x5437,     0x4b49,     0x1000,     0x2000,    0x6000,
        0x8000,     0xf000,     0x20000,    0x20008,    0x40000,   0x100000,
        0x200000,   0x400000,   0x2000000,  0x4000000,  0x8000000, 0x10000000,
        0x20000000, 0x40000000, 0x80000000, 0xffffffff, 0x7fffffff};
    uint64_t v = edges[random64() % (sizeof(edges) / sizeof(edges[0]))];
    uint64_t how = random64();

    switch (how % 8) {
    case 0:
        return random64();
    case 1:
        return v | HIGH;
    case 2:
        return v | (1ull << 32);
    case 3:
        return v + (how >> 3 & 0x3f);
    case 4:
        return v | (1ull << (how >> 3) % 64);
    case 5:
        return (uint64_t)(int64_t)(int32_t)v;
    default:
        return v;
    }
}

static void
arguments(unsigned nr, const char *name)
{
    unsigned i, wrong = 0, allowed = 0, denied = 0;

    for (i = 0; i < 400000; i++) {
        uint64_t a[6] = {value(), value(), value(), value(), value(), value()};
        uint32_t w, got;

        /* Half of the socket calls get as far as their other arguments. */
        if ((nr == SYS_socket || nr == SYS_socketpair) && i % 2)
            a[0] = i % 4 == 1 ? AF_NETLINK : i % 8 == 3 ? AF_INET : AF_INET6;
        w = want(nr, a);
        got = ask_on(AUDIT_ARCH_X86_64, nr, a);
        allowed += got == ALLOW;
        denied += got != ALLOW;
        if (got == w ||
            (w == ANY_NO && (got & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO))
            continue;
        if (wrong++ < 5)
            printf("# %s(%llx, %llx, %llx): got %x, want %x\n", name,
                   (unsigned long long)a[0], (unsigned long long)a[1],
                   (unsigned long long)a[2], got, w);
    }
    ok(wrong == 0, "%s: the program and the policy agree", name);
    ok(allowed > 100 && denied > 100, "%s: both answers were met (%u, %u)", name,
       allowed, denied);
}

/* The other numbers must not look at their arguments at all. */
static void
other_arguments(void)
{
    unsigned i, wrong = 0;

    for (i = 0; i < 1000000; i++) {
        uint64_t a[6] = {value(), value(), value(), value(), value(), value()};
        unsigned nr = (unsigned)(random64() % NUMBERS);
        uint32_t w = want(nr, a), got = ask_on(AUDIT_ARCH_X86_64, nr, a);

        if (got != w && w != ANY_NO && wrong++ < 5)
            printf("# syscall %u: got %x, want %x\n", nr, got, w);
        if (w == ANY_NO && got == ALLOW)
            wrong++;
    }
    ok(wrong == 0, "no other call depends on its arguments");
}

/* Named cases: what went wrong elsewhere. */
static void
known_attacks(void)
{
    ok(ask(SYS_ioctl, 0, 0x5412, 0) == NO(EPERM), "TIOCSTI");
    ok(ask(SYS_ioctl, 0, 0x5412 | 1ull << 32, 0) == NO(EPERM),
       "TIOCSTI with bit 32 set (CVE-2019-10063)");
    ok(ask(SYS_ioctl, 0, 0xffffffff00005412ull, 0) == NO(EPERM),
       "TIOCSTI sign-extended");
    ok(ask(SYS_socket, 38, 5, 0) == NO(EAFNOSUPPORT), "AF_ALG (CVE-2026-31431)");
    ok(ask(SYS_socket, 40, 1, 0) == NO(EAFNOSUPPORT), "AF_VSOCK");
    ok(ask(SYS_socket, 40 | HIGH, 1, 0) != ALLOW, "AF_VSOCK with garbage above");
    ok(ask(SYS_socket, AF_INET, 1, 262) == NO(EPROTONOSUPPORT), "MPTCP");
    ok(ask(SYS_socket, AF_INET, 1, 262 | HIGH) != ALLOW, "MPTCP with garbage above");
    ok(ask(SYS_socket, AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 136) == NO(EPROTONOSUPPORT),
       "UDPLITE");
    ok(ask(SYS_clone, 0x10000000 | HIGH, 0, 0) == NO(EPERM), "clone(NEWUSER)");
    ok(ask(SYS_clone3, 0, 0, 0) == NO(ENOSYS), "clone3 does not exist");
    ok(ask(SYS_clone, 0x3d0f00, 0, 0) == ALLOW, "a thread is allowed");
    ok(ask(SYS_clone, 0x1200011, 0, 0) == ALLOW, "a fork is allowed");
}

/* Every instruction was run, and every jump went both ways. One that compares a
 * syscall number may have no other way: both its neighbours were asked before. */
static void
coverage(void)
{
    unsigned program, i;

    for (program = 0; program < KH_FILTER_PROGRAMS; program++) {
        const struct cbpf_cover *cover = &covers[program];
        static bool reach[BPF_MAXINSNS];
        unsigned missed = 0;

        memset(reach, 0, sizeof(reach));
        cbpf_reachable(&programs[program], reach);
        for (i = 0; i < programs[program].len; i++) {
            const struct sock_filter *at = &programs[program].filter[i];
            bool both = cover->taken[i] && cover->passed[i];
            bool number = at->code == (BPF_JMP | BPF_JEQ | BPF_K) && program == 0;

            if (!reach[i] || both || (cover->taken[i] && (cbpf_always(at) || number)))
                continue;
            missed++;
            printf("# program %u, %u: code %x k %x jt %u jf %u (%d %d)\n", program, i,
                   at->code, at->k, at->jt, at->jf, cover->taken[i], cover->passed[i]);
        }
        ok(missed == 0, "all of program %u was run (%u instructions)", program,
           programs[program].len);
    }
}

int
main(void)
{
    static const struct {
        unsigned nr;
        const char *name;
    } rules[] = {
        {SYS_socket, "socket"},   {SYS_socketpair, "socketpair"},
        {SYS_ioctl, "ioctl"},     {SYS_clone, "clone"},
        {SYS_mknod, "mknod"},     {SYS_mknodat, "mknodat"},
        {SYS_seccomp, "seccomp"}, {SYS_personality, "personality"},
    };
    struct kh_error err = {0};
    size_t i;

    if (!ok(kh_filter_compile(programs, &err) == 0, "the filter compiles"))
        printf("# %s\n", err.text);
    read_golden();
    numbers();
    architectures();
    known_attacks();
    for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        arguments(rules[i].nr, rules[i].name);
    other_arguments();
    coverage();
    for (i = 0; i < KH_FILTER_PROGRAMS; i++)
        free(programs[i].filter);
    return done();
}
