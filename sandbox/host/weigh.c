#include "sandbox/host/weigh.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"

#define MIB        (1024ull * 1024)
#define MARGIN     (12 * MIB) /* page tables, and CRIU's own while it restores */
#define GHOSTS_MAX (256 * MIB)
#define MEMFD      "/memfd:" /* its pages are memory's */
#define STATM_MAX  256

static uint64_t
anonymous(pid_t pid)
{
    AUTO_FREE char *text = NULL;
    unsigned long long resident, shared;
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    if (kh_fd_read_file(AT_FDCWD, path, STATM_MAX, &text, NULL, NULL) < 0 ||
        sscanf(text, "%*u %llu %llu", &resident, &shared) != 2 || resident < shared)
        return 0;
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
ghost(int fds, const char *name)
{
    char target[sizeof(MEMFD)] = "";
    struct stat st;

    if (name[0] == '.' || fstatat(fds, name, &st, 0) < 0 || !S_ISREG(st.st_mode) ||
        st.st_nlink > 0 || readlinkat(fds, name, target, sizeof(target) - 1) < 0 ||
        !strcmp(target, MEMFD))
        return 0;
    return (uint64_t)st.st_blocks * 512;
}

/* The same file at two descriptors counts twice: it is only a bound. */
static uint64_t
all_ghosts(pid_t pid)
{
    char path[32];
    struct dirent *entry;
    uint64_t sum = 0;
    DIR *fds;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    fds = opendir(path);
    while (fds && (entry = readdir(fds)))
        sum += ghost(dirfd(fds), entry->d_name);
    if (fds)
        closedir(fds);
    return sum;
}

int
kh_weigh(struct kh_cgroups *groups, const char *id, struct kh_weight *ret_weight,
         struct kh_error *err)
{
    struct kh_weight weight = {.memory = kh_cgroup_shared(groups, id)};
    AUTO_FREE pid_t *pids = NULL;
    size_t count = 0, i;
    int r = kh_cgroup_list(groups, id, &pids, &count, err);

    for (i = 0; i < count; i++) {
        weight.memory += anonymous(pids[i]);
        weight.ghosts += all_ghosts(pids[i]);
    }
    *ret_weight = weight;
    return r;
}

uint64_t
kh_weight_limit(uint64_t memory)
{
    return memory + memory / 16 + MARGIN;
}

int
kh_weight_fits(const struct kh_weight *weight, uint64_t limit, const char *command,
               struct kh_error *err)
{
    uint64_t need = (kh_weight_limit(weight->memory) + MIB - 1) / MIB;

    if (need > limit / MIB)
        return kh_fail(err, EBUSY,
                       "its processes would need %" PRIu64 " MiB to come back, each "
                       "with memory of its own, and the limit is %" PRIu64
                       " MiB (hint: "
                       "%s --memory %" PRIu64 "M)",
                       need, (uint64_t)(limit / MIB), command, need);
    if (weight->ghosts > GHOSTS_MAX)
        return kh_fail(err, EBUSY,
                       "%" PRIu64 " MiB are in files that were removed and are still "
                       "open, more than %llu (hint: close them)",
                       (uint64_t)(weight->ghosts / MIB), GHOSTS_MAX / MIB);
    return 0;
}

int
kh_weight_room(int dir, uint64_t bytes, struct kh_error *err)
{
    struct statvfs st;
    uint64_t all, free;

    if (fstatvfs(dir, &st) < 0)
        return kh_fail_errno(err, "cannot tell what room there is for memory");
    all = (uint64_t)st.f_blocks * st.f_frsize;
    free = (uint64_t)st.f_bavail * st.f_frsize;
    if (bytes + all / 50 <= free)
        return 0;
    return kh_fail(err, ENOSPC,
                   "no room is left on the disk: %" PRIu64 " MiB are to be written, "
                   "%" PRIu64 " MiB are free (hint: remove what is not needed)",
                   (uint64_t)(bytes / MIB), (uint64_t)(free / MIB));
}
