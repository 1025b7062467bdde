#include "sandbox/host/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/filter_table.h"

#define LOW32       0xffffffffu
#define TYPE_MASK   0xfu /* SOCK_TYPE_MASK: flags of socket(2) are above it */
#define DENY(code)  SCMP_ACT_ERRNO(code)
#define PROGRAM_MAX (4096 * sizeof(struct sock_filter)) /* BPF_MAXINSNS */

static int
fail_rule(struct kh_error *err, int r, const char *what)
{
    return kh_fail(err, -r, "cannot add the seccomp rule for '%s'", what);
}

/* What a zygote needs besides: it joins namespaces, and leaves its session keyring. */
static const char *const of_zygote[] = {"setns", "keyctl"};

static bool
is_of_zygote(const char *name)
{
    size_t i;

    for (i = 0; i < KH_COUNT(of_zygote); i++)
        if (!strcmp(name, of_zygote[i]))
            return true;
    return false;
}

static int
add_names(scmp_filter_ctx ctx, const char *const *names, size_t count, uint32_t action,
          struct kh_error *err)
{
    size_t i;

    for (i = 0; i < count; i++) {
        int nr = seccomp_syscall_resolve_name(names[i]);
        int r;

        if (nr < 0)
            continue;
        r = seccomp_rule_add(ctx, action, nr, 0);
        if (r < 0)
            return fail_rule(err, r, names[i]);
    }
    return 0;
}

static int
add_allowed(scmp_filter_ctx ctx, struct kh_error *err)
{
    static const scmp_datum_t personas[] = {0, 8, 0x20000, 0x20008, LOW32};
    size_t i;
    int r = add_names(ctx, allowed, KH_COUNT(allowed), SCMP_ACT_ALLOW, err);

    for (i = 0; r == 0 && i < KH_COUNT(allowed_numbers); i++) {
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed_numbers[i], 0);
        if (r < 0)
            return fail_rule(err, r, "a new syscall");
    }
    for (i = 0; r == 0 && i < KH_COUNT(personas); i++) {
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, personas[i]));
        if (r < 0)
            return fail_rule(err, r, "personality");
    }
    return r;
}

static int
add_allow_list(scmp_filter_ctx ctx, struct kh_error *err)
{
    int r = add_allowed(ctx, err);

    return r < 0 ? r : add_names(ctx, forbidden, KH_COUNT(forbidden), DENY(EPERM), err);
}

static int
add_zygote_list(scmp_filter_ctx ctx, struct kh_error *err)
{
    int r = add_allowed(ctx, err);
    size_t i;

    for (i = 0; r == 0 && i < KH_COUNT(forbidden); i++)
        if (!is_of_zygote(forbidden[i]))
            r = add_names(ctx, &forbidden[i], 1, DENY(EPERM), err);
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setns), 0);
    if (r == 0)
        r = seccomp_rule_add(
            ctx, SCMP_ACT_ALLOW, SCMP_SYS(keyctl), 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, KEYCTL_JOIN_SESSION_KEYRING));
    return r < 0 ? fail_rule(err, r, "a zygote") : 0;
}

/* One argument compared, under a mask. */
static const struct arg_rule {
    int nr;
    unsigned arg;
    uint64_t mask;
    uint64_t value;
    int code;
} arg_rules[] = {
    /* Namespaces: the reachable kernel grows several times with them. */
    {SCMP_SYS(clone), 0, CLONE_NEWNS, CLONE_NEWNS, EPERM},
    {SCMP_SYS(clone), 0, CLONE_NEWCGROUP, CLONE_NEWCGROUP, EPERM},
    {SCMP_SYS(clone), 0, CLONE_NEWUTS, CLONE_NEWUTS, EPERM},
    {SCMP_SYS(clone), 0, CLONE_NEWIPC, CLONE_NEWIPC, EPERM},
    {SCMP_SYS(clone), 0, CLONE_NEWUSER, CLONE_NEWUSER, EPERM},
    {SCMP_SYS(clone), 0, CLONE_NEWPID, CLONE_NEWPID, EPERM},
    {SCMP_SYS(clone), 0, CLONE_NEWNET, CLONE_NEWNET, EPERM},
    /* Typing into, or changing, a terminal that somebody else reads. */
    {SCMP_SYS(ioctl), 1, LOW32, 0x5412, EPERM}, /* TIOCSTI */
    {SCMP_SYS(ioctl), 1, LOW32, 0x541C, EPERM}, /* TIOCLINUX */
    {SCMP_SYS(ioctl), 1, LOW32, 0x541D, EPERM}, /* TIOCCONS */
    {SCMP_SYS(ioctl), 1, LOW32, 0x5423, EPERM}, /* TIOCSETD */
    {SCMP_SYS(ioctl), 1, LOW32, 0x5437, EPERM}, /* TIOCVHANGUP */
    {SCMP_SYS(ioctl), 1, LOW32, 0x4B49, EPERM}, /* KDSKBSENT */
    {SCMP_SYS(mknod), 1, S_IFMT, S_IFCHR, EPERM},
    {SCMP_SYS(mknod), 1, S_IFMT, S_IFBLK, EPERM},
    {SCMP_SYS(mknodat), 2, S_IFMT, S_IFCHR, EPERM},
    {SCMP_SYS(mknodat), 2, S_IFMT, S_IFBLK, EPERM},
    /* Bit 31 is set in the query 0xffffffff, which stays allowed. */
    {SCMP_SYS(personality), 0, 0x80040000u, 0x00040000u, EPERM},
    {SCMP_SYS(personality), 0, 0x80100000u, 0x00100000u, EPERM},
    {SCMP_SYS(personality), 0, 0x80200000u, 0x00200000u, EPERM},
    {SCMP_SYS(personality), 0, 0x80400000u, 0x00400000u, EPERM},
    /* A supervisor of its own could answer syscalls for its children. */
    {SCMP_SYS(seccomp), 1, SECCOMP_FILTER_FLAG_NEW_LISTENER,
     SECCOMP_FILTER_FLAG_NEW_LISTENER, EPERM},
};

static int
add_arg_rules(scmp_filter_ctx ctx, struct kh_error *err)
{
    size_t i;

    for (i = 0; i < KH_COUNT(arg_rules); i++) {
        const struct arg_rule *rule = &arg_rules[i];
        int r;

        if (rule->nr < 0)
            continue;
        r = seccomp_rule_add(
            ctx, DENY(rule->code), rule->nr, 1,
            SCMP_CMP(rule->arg, SCMP_CMP_MASKED_EQ, rule->mask, rule->value));
        if (r < 0)
            return fail_rule(err, r, "an argument");
    }
    return 0;
}

/* UNIX, INET, INET6 and NETLINK; a family of 64 or more, garbage above bit 31
 * included, is caught by the comparison of all 64 bits. */
static int
add_families(scmp_filter_ctx ctx, int nr, struct kh_error *err)
{
    scmp_datum_t family;
    int r = seccomp_rule_add(ctx, DENY(EAFNOSUPPORT), nr, 1, SCMP_A0(SCMP_CMP_GE, 64));

    for (family = 0; r == 0 && family < 64; family++) {
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
            family == AF_NETLINK)
            continue;
        r = seccomp_rule_add(ctx, DENY(EAFNOSUPPORT), nr, 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, family));
    }
    return r < 0 ? fail_rule(err, r, "socket families") : 0;
}

/* NETLINK: ROUTE (0) only. */
static int
add_netlink(scmp_filter_ctx ctx, struct kh_error *err)
{
    scmp_datum_t protocol;
    int r = seccomp_rule_add(ctx, DENY(EPROTONOSUPPORT), SCMP_SYS(socket), 2,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, AF_NETLINK),
                             SCMP_A2(SCMP_CMP_GE, 32));

    for (protocol = 1; r == 0 && protocol < 32; protocol++)
        r = seccomp_rule_add(ctx, DENY(EPROTONOSUPPORT), SCMP_SYS(socket), 2,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, AF_NETLINK),
                             SCMP_A2(SCMP_CMP_MASKED_EQ, LOW32, protocol));
    return r < 0 ? fail_rule(err, r, "netlink") : 0;
}

/* INET and INET6: TCP over STREAM and UDP over DGRAM; no raw, MPTCP, SCTP... */
static int
add_inet(scmp_filter_ctx ctx, int family, struct kh_error *err)
{
    scmp_datum_t type, protocol;
    int r = seccomp_rule_add(ctx, DENY(EPROTONOSUPPORT), SCMP_SYS(socket), 2,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, (scmp_datum_t)family),
                             SCMP_A2(SCMP_CMP_GE, IPPROTO_UDP + 1));

    for (type = 0; r == 0 && type <= TYPE_MASK; type++)
        if (type != SOCK_STREAM && type != SOCK_DGRAM)
            r = seccomp_rule_add(
                ctx, DENY(EPROTONOSUPPORT), SCMP_SYS(socket), 2,
                SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, (scmp_datum_t)family),
                SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE_MASK, type));
    for (protocol = 1; r == 0 && protocol <= IPPROTO_UDP; protocol++) {
        bool tcp = protocol == IPPROTO_TCP, udp = protocol == IPPROTO_UDP;

        if (!tcp)
            r = seccomp_rule_add(
                ctx, DENY(EPROTONOSUPPORT), SCMP_SYS(socket), 3,
                SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, (scmp_datum_t)family),
                SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE_MASK, SOCK_STREAM),
                SCMP_A2(SCMP_CMP_MASKED_EQ, LOW32, protocol));
        if (r == 0 && !udp)
            r = seccomp_rule_add(
                ctx, DENY(EPROTONOSUPPORT), SCMP_SYS(socket), 3,
                SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, (scmp_datum_t)family),
                SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE_MASK, SOCK_DGRAM),
                SCMP_A2(SCMP_CMP_MASKED_EQ, LOW32, protocol));
    }
    return r < 0 ? fail_rule(err, r, "internet protocols") : 0;
}

static int
add_argument_list(scmp_filter_ctx ctx, struct kh_error *err)
{
    int r = add_arg_rules(ctx, err);

    if (r == 0)
        r = add_families(ctx, SCMP_SYS(socket), err);
    if (r == 0)
        r = add_families(ctx, SCMP_SYS(socketpair), err);
    if (r == 0)
        r = add_netlink(ctx, err);
    if (r == 0)
        r = add_inet(ctx, AF_INET, err);
    return r < 0 ? r : add_inet(ctx, AF_INET6, err);
}

/* libseccomp writes programs to descriptors only. */
static int
export_program(scmp_filter_ctx ctx, struct sock_fprog *ret_program,
               struct kh_error *err)
{
    AUTO_FD int fd = memfd_create("seccomp", MFD_CLOEXEC);
    AUTO_FREE char *code = NULL;
    off_t size;
    int r;

    if (fd < 0)
        return kh_fail_errno(err, "cannot make a memory file");
    r = seccomp_export_bpf(ctx, fd);
    if (r < 0)
        return kh_fail(err, -r, "cannot compile the seccomp filter");
    size = lseek(fd, 0, SEEK_END);
    if (size <= 0 || (size_t)size > PROGRAM_MAX)
        return kh_fail(err, E2BIG, "the seccomp filter has %lld bytes",
                       (long long)size);
    code = kh_xcalloc(1, (size_t)size);
    if (lseek(fd, 0, SEEK_SET) < 0 || kh_fd_read_full(fd, code, (size_t)size) < 0)
        return kh_fail(err, EIO, "cannot read the compiled seccomp filter");
    ret_program->len = (unsigned short)((size_t)size / sizeof(struct sock_filter));
    ret_program->filter = (struct sock_filter *)STEAL_PTR(code);
    return 0;
}

static int
compile(uint32_t otherwise, int (*add)(scmp_filter_ctx, struct kh_error *),
        struct sock_fprog *ret_program, struct kh_error *err)
{
    scmp_filter_ctx ctx = seccomp_init(otherwise);
    int r;

    if (!ctx)
        return kh_fail(err, ENOMEM, "cannot start a seccomp filter");
    r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* binary tree */
    r = r < 0 ? fail_rule(err, r, "architecture") : add(ctx, err);
    if (r == 0)
        r = export_program(ctx, ret_program, err);
    seccomp_release(ctx);
    return r;
}

static int
compile_both(int (*add)(scmp_filter_ctx, struct kh_error *),
             struct sock_fprog ret_programs[KH_FILTER_PROGRAMS], struct kh_error *err)
{
    struct sock_fprog list = {0}, arguments = {0};
    int r = compile(DENY(ENOSYS), add, &list, err);

    if (r == 0)
        r = compile(SCMP_ACT_ALLOW, add_argument_list, &arguments, err);
    if (r < 0) {
        free(list.filter);
        return r;
    }
    ret_programs[0] = list;
    ret_programs[1] = arguments;
    return 0;
}

int
kh_filter_compile(struct sock_fprog ret_programs[KH_FILTER_PROGRAMS],
                  struct kh_error *err)
{
    return compile_both(add_allow_list, ret_programs, err);
}

int
kh_filter_compile_zygote(struct sock_fprog ret_programs[KH_FILTER_PROGRAMS],
                         struct kh_error *err)
{
    return compile_both(add_zygote_list, ret_programs, err);
}

int
kh_filter_install(const struct sock_fprog programs[KH_FILTER_PROGRAMS],
                  struct kh_error *err)
{
    int i;

    for (i = 0; i < KH_FILTER_PROGRAMS; i++)
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &programs[i], 0, 0) < 0)
            return kh_fail_errno(err, "cannot install the seccomp filter (hint: the "
                                      "kernel needs CONFIG_SECCOMP_FILTER)");
    return 0;
}
