#include "sandbox/host/admission.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "base/clean.h"

#define MIB (1024ull * 1024)

typedef int judge_fn(const struct kh_admission *, const struct kh_admission_facts *,
                     struct kh_error *);

static uint64_t
smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int
judge_count(const struct kh_admission *admission,
            const struct kh_admission_facts *facts, struct kh_error *err)
{
    if (facts->running < admission->max)
        return 0;
    return kh_fail(err, EUSERS,
                   "%u sandboxes run, and this host takes no more (hint: stop or "
                   "remove some, or kernelhost serve -- --max-sandboxes N)",
                   facts->running);
}

static int
judge_memory(const struct kh_admission *admission,
             const struct kh_admission_facts *facts, struct kh_error *err)
{
    uint64_t reserve = admission->reserve ? admission->reserve
                                          : kh_room_reserve(facts->room.memory_total);
    uint64_t need = (admission->recent + 1) * KH_ADMISSION_MEMORY + facts->need;

    if (facts->room.memory_available >= reserve + need)
        return 0;
    return kh_fail(err, ENOMEM,
                   "the host has %" PRIu64 " MiB of memory left, of which it keeps "
                   "%" PRIu64 " in reserve, and sandboxes that begin now need %" PRIu64
                   " (hint: stop or remove some, or kernelhost serve -- "
                   "--memory-reserve BYTES)",
                   (uint64_t)(facts->room.memory_available / MIB),
                   (uint64_t)(reserve / MIB), (uint64_t)(need / MIB));
}

static int
judge_tasks(const struct kh_admission *admission,
            const struct kh_admission_facts *facts, struct kh_error *err)
{
    const struct kh_room *room = &facts->room;
    uint64_t keep = smaller(KH_ADMISSION_KEEP_TASKS, room->tasks_max / 16);
    uint64_t need = (admission->recent + 1) * KH_ADMISSION_TASKS;

    if (room->tasks + need + keep <= room->tasks_max)
        return 0;
    return kh_fail(err, EUSERS,
                   "the host runs %" PRIu64 " of %" PRIu64 " processes and threads "
                   "(hint: stop or remove sandboxes, or sysctl kernel.pid_max and "
                   "kernel.threads-max)",
                   room->tasks, room->tasks_max);
}

static int
judge_descriptors(const struct kh_admission *admission,
                  const struct kh_admission_facts *facts, struct kh_error *err)
{
    (void)admission;
    if (facts->descriptors + KH_ADMISSION_KEEP_DESCRIPTORS < facts->descriptors_max)
        return 0;
    return kh_fail(err, EMFILE,
                   "kernelhostd has %u of %u descriptors open (hint: stop or remove "
                   "sandboxes, or start the host with a larger ulimit -Hn)",
                   facts->descriptors, facts->descriptors_max);
}

static int
judge_disk(const struct kh_admission *admission, const struct kh_admission_facts *facts,
           struct kh_error *err)
{
    const struct kh_room_disk *disk = &facts->disk;

    (void)admission;
    if (disk->bytes < smaller(KH_ADMISSION_KEEP_DISK, disk->bytes_total / 20))
        return kh_fail(err, ENOSPC,
                       "the disk of the state directory has %" PRIu64 " MiB left "
                       "(hint: remove sandboxes, or make room on it)",
                       (uint64_t)(disk->bytes / MIB));
    if (disk->inodes_total &&
        disk->inodes < smaller(KH_ADMISSION_KEEP_INODES, disk->inodes_total / 20))
        return kh_fail(err, ENOSPC,
                       "the disk of the state directory has room for %" PRIu64
                       " files (hint: remove sandboxes, or make room on it)",
                       disk->inodes);
    return 0;
}

int
kh_admission_judge(const struct kh_admission *admission,
                   const struct kh_admission_facts *facts, struct kh_error *err)
{
    static judge_fn *const judges[] = {judge_count, judge_memory, judge_tasks,
                                       judge_descriptors, judge_disk};
    size_t i;
    int r = 0;

    for (i = 0; r == 0 && i < KH_COUNT(judges); i++)
        r = judges[i](admission, facts, err);
    return r;
}

static void
forget_old_starts(struct kh_admission *admission)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - admission->second > 32)
        admission->recent = 0;
    else
        admission->recent >>= now.tv_sec - admission->second;
    admission->second = now.tv_sec;
}

int
kh_admission_read(int state, struct kh_admission_facts *ret_facts, struct kh_error *err)
{
    struct kh_admission_facts facts = {.running = 0};
    int r = kh_room_read(&facts.room, err);

    if (r == 0)
        r = kh_room_disk(state, &facts.disk, err);
    if (r < 0)
        return r;
    kh_room_descriptors(&facts.descriptors, &facts.descriptors_max);
    *ret_facts = facts;
    return 0;
}

int
kh_admission_take(struct kh_admission *admission,
                  const struct kh_admission_facts *facts, struct kh_error *err)
{
    int r;

    forget_old_starts(admission);
    r = kh_admission_judge(admission, facts, err);
    if (r == 0)
        admission->recent++;
    return r;
}

int
kh_admission_check(struct kh_admission *admission, int state, unsigned running,
                   struct kh_error *err)
{
    struct kh_admission_facts facts;
    int r = kh_admission_read(state, &facts, err);

    if (r < 0)
        return r;
    facts.running = running;
    return kh_admission_take(admission, &facts, err);
}
