#include "sandbox/host/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"

#define MIB           (1024ull * 1024)
#define PROC_TEXT_MAX (4 * MIB)

static const struct kh_limits defaults = {
    .memory = KH_LIMITS_MEMORY,
    .cpu_milli = 1000,
    .pids = 512,
};

struct kh_plan *
kh_plan_new(const char *name, const struct kh_limits *limits)
{
    struct kh_plan *plan = kh_xcalloc(1, sizeof(*plan));
    int i;

    snprintf(plan->name, sizeof(plan->name), "%s", name);
    plan->limits = *limits;
    plan->box = -1;
    for (i = 0; i < KH_LAYERS_MAX; i++)
        plan->layer[i] = -1;
    return plan;
}

void
kh_plan_free(struct kh_plan *plan)
{
    int i;

    if (!plan)
        return;
    for (i = 0; i < KH_LAYERS_MAX; i++)
        kh_fd_close(&plan->layer[i]);
    kh_fd_close(&plan->box);
    free(plan->cpuinfo);
    free(plan->stat);
    free(plan->meminfo);
    free(plan);
}

int
kh_limits_check(struct kh_limits *limits, struct kh_error *err)
{
    struct sysinfo info;
    uint64_t host_memory;
    uint32_t cpu_max = (uint32_t)get_nprocs() * 1000;

    if (sysinfo(&info) < 0)
        return kh_fail_errno(err, "cannot read the host's memory size");
    host_memory = (uint64_t)info.totalram * info.mem_unit;
    if (!limits->memory)
        limits->memory = defaults.memory < host_memory ? defaults.memory : host_memory;
    if (!limits->cpu_milli)
        limits->cpu_milli = defaults.cpu_milli;
    if (!limits->pids)
        limits->pids = defaults.pids;
    if (limits->memory < 64 * MIB || limits->memory > host_memory)
        return kh_fail(err, EINVAL,
                       "memory limit of %" PRIu64 " bytes is out of range "
                       "(hint: 64M to %" PRIu64 "M on this host)",
                       limits->memory, (uint64_t)(host_memory / MIB));
    if (limits->cpu_milli < 10 || limits->cpu_milli > cpu_max)
        return kh_fail(err, EINVAL,
                       "cpu limit of %u.%03u is out of range "
                       "(hint: 0.01 to %u on this host)",
                       limits->cpu_milli / 1000, limits->cpu_milli % 1000,
                       cpu_max / 1000);
    if (limits->pids < 16 || limits->pids > 32768)
        return kh_fail(err, EINVAL,
                       "pids limit of %u is out of range (hint: 16 to 32768)",
                       limits->pids);
    return 0;
}

/* The host's cpuinfo cut to the first CPUS processors. */
static int
make_cpuinfo(struct kh_plan *plan, unsigned cpus, struct kh_error *err)
{
    char *end, *text = NULL;
    unsigned seen = 0;
    int r = kh_fd_read_file(AT_FDCWD, "/proc/cpuinfo", PROC_TEXT_MAX, &text, NULL, err);

    if (r < 0)
        return r;
    for (end = text; seen < cpus && (end = strstr(end, "\n\n")); end += 2)
        seen++;
    if (end && seen == cpus)
        *end = '\0';
    plan->cpuinfo = text;
    return 0;
}

static char *
make_stat(unsigned cpus)
{
    struct kh_buf buf = KH_BUF_INIT;
    unsigned i;

    kh_buf_addf(&buf, "cpu  0 0 0 0 0 0 0 0 0 0\n");
    for (i = 0; i < cpus; i++)
        kh_buf_addf(&buf, "cpu%u 0 0 0 0 0 0 0 0 0 0\n", i);
    kh_buf_addf(&buf,
                "intr 0\nctxt 0\nbtime %lld\nprocesses 1\nprocs_running 1\n"
                "procs_blocked 0\nsoftirq 0\n",
                (long long)time(NULL));
    kh_buf_add(&buf, "", 1);
    return buf.data;
}

static char *
make_meminfo(uint64_t memory)
{
    static const char *const zero[] = {
        "Buffers",   "Cached",   "SwapCached", "Active",      "Inactive",
        "SwapTotal", "SwapFree", "Dirty",      "Writeback",   "AnonPages",
        "Mapped",    "Shmem",    "Slab",       "SReclaimable"};
    struct kh_buf buf = KH_BUF_INIT;
    unsigned long long kib = memory / 1024;
    size_t i;

    kh_buf_addf(&buf, "MemTotal:       %8llu kB\n", kib);
    kh_buf_addf(&buf, "MemFree:        %8llu kB\n", kib);
    kh_buf_addf(&buf, "MemAvailable:   %8llu kB\n", kib);
    for (i = 0; i < KH_COUNT(zero); i++)
        kh_buf_addf(&buf, "%s:%*s0 kB\n", zero[i], (int)(22 - strlen(zero[i])), "");
    kh_buf_add(&buf, "", 1);
    return buf.data;
}

static void
make_boot_id(char *out, size_t size)
{
    unsigned char b[16];

    kh_random(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, size,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
             b[12], b[13], b[14], b[15]);
}

int
kh_plan_facts(struct kh_plan *plan, struct kh_error *err)
{
    unsigned cpus = (plan->limits.cpu_milli + 999) / 1000;
    struct timespec now, boot;

    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0 ||
        clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
        return kh_fail_errno(err, "cannot read the clock");
    plan->uptime = now.tv_sec;
    plan->boottime = boot.tv_sec;
    make_boot_id(plan->boot_id, sizeof(plan->boot_id));
    plan->stat = make_stat(cpus);
    plan->meminfo = make_meminfo(plan->limits.memory);
    return make_cpuinfo(plan, cpus, err);
}
