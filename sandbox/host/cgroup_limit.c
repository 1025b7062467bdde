/* Limits of sandboxes, and what they use of them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "sandbox/host/cgroup_own.h"

#define CPU_PERIOD_USEC 100000u

int
kh_cgroup_limit(struct kh_cgroups *groups, const char *id,
                const struct kh_limits *limits, struct kh_error *err)
{
    uint64_t quota = (uint64_t)limits->cpu_milli * CPU_PERIOD_USEC / 1000;
    char memory[32], cpu[64], period[32], pids[32];
    const struct {
        enum kh_cgroup_role role;
        bool v2;
        bool optional; /* the kernel may lack it */
        const char *name;
        const char *text;
    } files[] = {
        {KH_CGROUP_MEMORY, true, false, "memory.max", memory},
        {KH_CGROUP_MEMORY, true, true, "memory.swap.max", "0"},
        {KH_CGROUP_CPU, true, false, "cpu.max", cpu},
        {KH_CGROUP_PIDS, true, false, "pids.max", pids},
        {KH_CGROUP_MEMORY, false, false, "memory.limit_in_bytes", memory},
        {KH_CGROUP_MEMORY, false, true, "memory.memsw.limit_in_bytes", memory},
        {KH_CGROUP_CPU, false, false, "cpu.cfs_period_us", period},
        {KH_CGROUP_CPU, false, false, "cpu.cfs_quota_us", cpu},
        {KH_CGROUP_PIDS, false, false, "pids.max", pids},
    };
    size_t i;

    snprintf(memory, sizeof(memory), "%" PRIu64, limits->memory);
    snprintf(period, sizeof(period), "%u", CPU_PERIOD_USEC);
    snprintf(pids, sizeof(pids), "%u", limits->pids);
    if (groups->v2[KH_CGROUP_CPU])
        snprintf(cpu, sizeof(cpu), "%" PRIu64 " %u", quota, CPU_PERIOD_USEC);
    else
        snprintf(cpu, sizeof(cpu), "%" PRIu64, quota);
    for (i = 0; i < KH_COUNT(files); i++) {
        AUTO_FD int dir = -1;
        int r;

        if (files[i].v2 != groups->v2[files[i].role])
            continue;
        dir = openat(groups->parent[files[i].role], id,
                     O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        r = dir < 0 ? kh_fail_errno(err, "cannot open cgroup '%s'", id)
                    : kh_cgroup_put(dir, files[i].name, files[i].text, err);
        if (r < 0 && !files[i].optional)
            return r;
    }
    return 0;
}

/* The number in a one-value file, or behind KEY in a file of "key value" lines. */
static uint64_t
number(struct kh_cgroups *groups, int role, const char *id, const char *file,
       const char *key)
{
    AUTO_FREE char *text = NULL;
    char path[KH_CGROUP_PATH];
    char *at;

    if (kh_fd_read_file(groups->parent[role],
                        kh_cgroup_file(path, sizeof(path), id, file),
                        KH_CGROUP_FILE_MAX, &text, NULL, NULL) < 0)
        return 0;
    if (!key)
        return strtoull(text, NULL, 10);
    for (at = text; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        if (!strncmp(at, key, strlen(key)) && at[strlen(key)] == ' ')
            return strtoull(at + strlen(key), NULL, 10);
    return 0;
}

/* Processor time is read on v1 from cpuacct where it shares the cpu hierarchy,
 * else from the scheduler's statistics there, which old kernels lack. */
void
kh_cgroup_usage(struct kh_cgroups *groups, const char *id, struct kh_usage *ret_usage)
{
    struct kh_usage u = {0};

    u.pids = (uint32_t)number(groups, KH_CGROUP_PIDS, id, "pids.current", NULL);
    if (groups->v2[KH_CGROUP_MEMORY]) {
        u.memory = number(groups, KH_CGROUP_MEMORY, id, "memory.current", NULL);
        u.memory_peak = number(groups, KH_CGROUP_MEMORY, id, "memory.peak", NULL);
        u.oom_kills =
            (uint32_t)number(groups, KH_CGROUP_MEMORY, id, "memory.events", "oom_kill");
        u.cpu_usec = number(groups, KH_CGROUP_CPU, id, "cpu.stat", "usage_usec");
    } else {
        u.memory = number(groups, KH_CGROUP_MEMORY, id, "memory.usage_in_bytes", NULL);
        u.memory_peak =
            number(groups, KH_CGROUP_MEMORY, id, "memory.max_usage_in_bytes", NULL);
        u.oom_kills = (uint32_t)number(groups, KH_CGROUP_MEMORY, id,
                                       "memory.oom_control", "oom_kill");
        u.cpu_usec = number(groups, KH_CGROUP_CPU, id, "cpuacct.usage", NULL) / 1000;
        if (!u.cpu_usec)
            u.cpu_usec = number(groups, KH_CGROUP_KILL, id, "cpu.stat", "usage_usec");
    }
    *ret_usage = u;
}

int
kh_cgroups_bound(struct kh_cgroups *groups, uint64_t memory, struct kh_error *err)
{
    const char *file =
        groups->v2[KH_CGROUP_MEMORY] ? "memory.max" : "memory.limit_in_bytes";
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64, memory);
    return kh_cgroup_put(groups->parent[KH_CGROUP_MEMORY], file, text, err);
}
