/* The fact of doctor that tells how many more sandboxes fit, and what limits it. */
#include "kernelhost/cli/doctor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clean.h"
#include "base/room.h"
#include "kernelhost/cli/size.h"

#define MIB (1024ull * 1024)

/* What an idle sandbox with a kernel takes, roughly; kernelhostd's own rule
 * (sandbox/host/admission.h) looks at what is left each time. */
#define EACH_MEMORY (8 * MIB)
#define EACH_TASKS  4u
#define EACH_DESCRIPTORS                                                               \
    1u /* of the gateway, which has most; some 20 when connected                       \
        */
#define EACH_INODES      16u
#define KEEP_DESCRIPTORS 2048u
#define KEEP_TASKS       1024u
#define ID_RANGES        8192u

struct share {
    const char *what; /* "memory (22.1G left, 1.2G of it in reserve)" */
    uint64_t room;    /* for so many sandboxes */
};

static uint64_t
less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void
memory_share(const struct kh_room *room, char *text, size_t size, struct share *share)
{
    uint64_t reserve = kh_room_reserve(room->memory_total);
    char left[KH_SIZE_TEXT], kept[KH_SIZE_TEXT];

    snprintf(text, size, "memory (%s left, %s of it in reserve)",
             kh_size_text(room->memory_available, left), kh_size_text(reserve, kept));
    share->room = less(room->memory_available, reserve) / EACH_MEMORY;
}

static void
task_share(const struct kh_room *room, char *text, size_t size, struct share *share)
{
    snprintf(text, size, "processes (%llu of %llu in use)",
             (unsigned long long)room->tasks, (unsigned long long)room->tasks_max);
    share->room = less(room->tasks_max, room->tasks + KEEP_TASKS) / EACH_TASKS;
}

static void
descriptor_share(char *text, size_t size, struct share *share)
{
    struct rlimit limit = {0};

    getrlimit(RLIMIT_NOFILE, &limit);
    snprintf(text, size, "descriptors (at most %llu a process)",
             (unsigned long long)limit.rlim_max);
    share->room = less(limit.rlim_max, KEEP_DESCRIPTORS) / EACH_DESCRIPTORS;
}

static void
inode_share(const char *state, char *text, size_t size, struct share *share)
{
    AUTO_FD int dir = open(state, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct kh_room_disk disk = {0};

    share->room = UINT64_MAX;
    if (dir < 0 || kh_room_disk(dir, &disk, NULL) < 0 || !disk.inodes_total)
        return;
    snprintf(text, size, "files on the state directory's disk (%llu left)",
             (unsigned long long)disk.inodes);
    share->room = disk.inodes / EACH_INODES;
}

void
kh_fact_capacity(const struct kh_cli *cli, struct kh_finding *finding)
{
    char memory[100] = "", tasks[100] = "", descriptors[100] = "", inodes[100] = "";
    struct share shares[] = {{memory, 0},
                             {tasks, 0},
                             {descriptors, 0},
                             {inodes, 0},
                             {"ranges of user ids", ID_RANGES}};
    const struct share *least = shares;
    struct kh_room room = {0};
    struct kh_error err = {0};
    size_t i;

    if (kh_room_read(&room, &err) < 0) {
        kh_finding_bad(finding, KH_FINDING_WARN, NULL, "%s", err.text);
        return;
    }
    memory_share(&room, memory, sizeof(memory), &shares[0]);
    task_share(&room, tasks, sizeof(tasks), &shares[1]);
    descriptor_share(descriptors, sizeof(descriptors), &shares[2]);
    inode_share(cli->state, inodes, sizeof(inodes), &shares[3]);
    for (i = 1; i < KH_COUNT(shares); i++)
        if (shares[i].room < least->room)
            least = &shares[i];
    if (least->room)
        kh_finding_ok(finding,
                      "room for about %llu more idle sandboxes; what limits it: %s",
                      (unsigned long long)least->room, least->what);
    else
        kh_finding_bad(finding, KH_FINDING_WARN, "stop or remove sandboxes",
                       "no room for another sandbox: %s", least->what);
}
