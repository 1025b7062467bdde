/* Limits of sandboxes, and what they use of them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "sandbox/host/cgroup_own.h"

#define CPU_PERIOD_USEC 100000u
#define MIB             (1024ull * 1024)

struct setting {
    enum kh_cgroup_role role;
    bool v2;
    bool optional; /* the kernel may lack it */
    const char *name;
    const char *text;
};

static int
put_setting(struct kh_cgroups *groups, const char *id, const struct setting *setting,
            struct kh_error *err)
{
    AUTO_FD int dir = -1;
    int r;

    if (setting->v2 != groups->v2[setting->role])
        return 0;
    dir = openat(groups->parent[setting->role], id,
                 O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        return kh_fail_errno(err, "cannot open cgroup '%s'", id);
    r = kh_cgroup_put(dir, setting->name, setting->text, err);
    return r == -ENOENT && setting->optional ? 0 : r;
}

static int
limit_others(struct kh_cgroups *groups, const char *id, const struct kh_limits *limits,
             struct kh_error *err)
{
    uint64_t quota = (uint64_t)limits->cpu_milli * CPU_PERIOD_USEC / 1000;
    char cpu[64], period[32], pids[32];
    const struct setting settings[] = {
        {KH_CGROUP_CPU, true, false, "cpu.max", cpu},
        {KH_CGROUP_CPU, false, false, "cpu.cfs_period_us", period},
        {KH_CGROUP_CPU, false, false, "cpu.cfs_quota_us", cpu},
        {KH_CGROUP_PIDS, groups->v2[KH_CGROUP_PIDS], false, "pids.max", pids},
    };
    size_t i;
    int r = 0;

    snprintf(period, sizeof(period), "%u", CPU_PERIOD_USEC);
    snprintf(pids, sizeof(pids), "%u", limits->pids);
    if (groups->v2[KH_CGROUP_CPU])
        snprintf(cpu, sizeof(cpu), "%" PRIu64 " %u", quota, CPU_PERIOD_USEC);
    else
        snprintf(cpu, sizeof(cpu), "%" PRIu64, quota);
    for (i = 0; r == 0 && i < KH_COUNT(settings); i++)
        r = put_setting(groups, id, &settings[i], err);
    return r;
}

/* memory.max kills when more is in use; memory.high takes away what can be had, and
 * harms nobody. The caller takes it back, as it sets limits. */
static int
make_room_v2(struct kh_cgroups *groups, const char *id, uint64_t memory,
             struct kh_error *err)
{
    char text[32];
    const struct setting high = {KH_CGROUP_MEMORY, true, false, "memory.high", text};
    struct kh_usage usage;
    int r;

    snprintf(text, sizeof(text), "%" PRIu64, memory);
    r = put_setting(groups, id, &high, err);
    kh_cgroup_usage(groups, id, &usage);
    return r == 0 && usage.memory > memory ? -EBUSY : r;
}

static uint64_t number(struct kh_cgroups *groups, int role, const char *id,
                       const char *file, const char *key);

/* v1 takes away what can be had, and refuses with EBUSY; and at no moment may memory
 * be above memory and swap. */
static int
limit_memory(struct kh_cgroups *groups, const char *id, uint64_t memory,
             struct kh_error *err)
{
    bool v2 = groups->v2[KH_CGROUP_MEMORY];
    uint64_t now = number(groups, KH_CGROUP_MEMORY, id,
                          v2 ? "memory.max" : "memory.limit_in_bytes", NULL);
    bool less = !now || memory < now; /* 0: "max" */
    char text[32];
    const struct setting settings[] = {
        {KH_CGROUP_MEMORY, true, false, "memory.max", text},
        {KH_CGROUP_MEMORY, true, true, "memory.high", "max"}, /* of a change */
        {KH_CGROUP_MEMORY, true, true, "memory.swap.max", "0"},
        {KH_CGROUP_MEMORY, false, !less,
         less ? "memory.limit_in_bytes" : "memory.memsw.limit_in_bytes", text},
        {KH_CGROUP_MEMORY, false, less,
         less ? "memory.memsw.limit_in_bytes" : "memory.limit_in_bytes", text},
    };
    size_t i;
    int r = 0;

    snprintf(text, sizeof(text), "%" PRIu64, memory);
    for (i = 0; r == 0 && i < KH_COUNT(settings); i++)
        r = put_setting(groups, id, &settings[i], err);
    return r;
}

int
kh_cgroup_limit(struct kh_cgroups *groups, const char *id,
                const struct kh_limits *limits, struct kh_error *err)
{
    int r = limit_memory(groups, id, limits->memory, err);

    return r < 0 ? r : limit_others(groups, id, limits, err);
}

static int
change(struct kh_cgroups *groups, const char *id, const struct kh_limits *from,
       const struct kh_limits *to, struct kh_error *err)
{
    int r = 0;

    if (to->memory < from->memory && groups->v2[KH_CGROUP_MEMORY])
        r = make_room_v2(groups, id, to->memory, err);
    return r < 0 ? r : kh_cgroup_limit(groups, id, to, err);
}

int
kh_cgroup_change(struct kh_cgroups *groups, const char *id,
                 const struct kh_limits *from, const struct kh_limits *to,
                 struct kh_error *err)
{
    struct kh_usage usage;
    int r = change(groups, id, from, to, err);

    if (r == 0)
        return 0;
    (void)kh_cgroup_limit(groups, id, from, NULL);
    if (r != -EBUSY)
        return r;
    kh_cgroup_usage(groups, id, &usage);
    return kh_fail(err, EBUSY,
                   "%" PRIu64 " MiB of memory are in use, more than a limit of %" PRIu64
                   " MiB (hint: end something in it, or allow more)",
                   (uint64_t)(usage.memory / MIB), (uint64_t)(to->memory / MIB));
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

/* The kernel numbers the directories of a cgroup tree without using one again. */
uint64_t
kh_cgroup_number(struct kh_cgroups *groups, const char *id)
{
    int role = groups->parent[KH_CGROUP_KILL] >= 0 ? KH_CGROUP_KILL : KH_CGROUP_CPU;
    struct stat st;

    return fstatat(groups->parent[role], id, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0
                                                                           : st.st_ino;
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

uint64_t
kh_cgroup_shared(struct kh_cgroups *groups, const char *id)
{
    return number(groups, KH_CGROUP_MEMORY, id, "memory.stat", "shmem");
}
