#include "sandbox/image/drop.h"

#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clean.h"

#define LOW32 0xffffffffu

#ifdef __SANITIZE_ADDRESS__
#define ANY_MEMORY 1 /* its shadow takes terabytes of addresses */
#else
#define ANY_MEMORY 0
#endif

int
kh_drop_limits(const struct kh_drop_limit *rows, size_t count, struct kh_error *err)
{
    size_t i;

    for (i = 0; i < count; i++) {
        const struct rlimit limit = {rows[i].value, rows[i].value};

        if (ANY_MEMORY && rows[i].resource == RLIMIT_AS)
            continue;
        if (setrlimit(rows[i].resource, &limit) < 0)
            return kh_fail_errno(err, "cannot set resource limit %d", rows[i].resource);
    }
    return 0;
}

int
kh_drop_capabilities(unsigned keep, struct kh_error *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = keep, .permitted = keep}};
    int cap;

    for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return kh_fail_errno(err, "cannot drop capability %d", cap);
    if (syscall(SYS_capset, &head, data) < 0)
        return kh_fail_errno(err, "cannot drop capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return kh_fail_errno(err, "cannot set no_new_privs");
    return 0;
}

#ifdef __SANITIZE_ADDRESS__
static const int sanitizers[] = {
    SCMP_SYS(mmap),   SCMP_SYS(mprotect),    SCMP_SYS(sigaltstack),
    SCMP_SYS(gettid), SCMP_SYS(sched_yield), SCMP_SYS(rt_sigaction),
    SCMP_SYS(getpid),
};
#endif

static int
allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    size_t i;
    int r = 0;

    for (i = 0; i < count && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return r;
}

static int
add_rules(scmp_filter_ctx filter, const int *allowed, size_t count,
          const struct kh_drop_node *nodes, size_t node_count)
{
    const struct scmp_arg_cmp no_exec = SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, 4, 0);
    int r = allow(filter, allowed, count);
    size_t i;

#ifdef __SANITIZE_ADDRESS__
    if (r == 0)
        r = allow(filter, sanitizers, KH_COUNT(sanitizers));
#endif
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec);
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
    for (i = 0; i < node_count && r == 0; i++)
        r = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, SCMP_SYS(mknodat), 2,
            SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, nodes[i].mask, nodes[i].mode),
            SCMP_CMP64(3, SCMP_CMP_MASKED_EQ, LOW32, 0));
    return r;
}

int
kh_drop_calls(const int *allowed, size_t count, const struct kh_drop_node *nodes,
              size_t node_count, struct kh_error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r = filter ? add_rules(filter, allowed, count, nodes, node_count) : -ENOMEM;

    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r < 0 ? kh_fail(err, -r, "cannot filter the system calls: %s", strerror(-r))
                 : 0;
}
