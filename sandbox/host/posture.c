#include "sandbox/host/posture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "protocol/link/init.h"
#include "sandbox/host/filter.h"
#include "sandbox/host/privs.h"

#define STATUS_MAX 16384

/* Of a process of the sandbox's user, or one that is to become it. */
#define WITHOUT_PRIVILEGES                                                             \
    "Groups:\t ", "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",            \
        "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",                      \
        "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"

struct ids {
    char uid[80], gid[80]; /* lines of status */
};

static struct ids
ids_of(unsigned id)
{
    struct ids ids;

    snprintf(ids.uid, sizeof(ids.uid), "Uid:\t%u\t%u\t%u\t%u", id, id, id, id);
    snprintf(ids.gid, sizeof(ids.gid), "Gid:\t%u\t%u\t%u\t%u", id, id, id, id);
    return ids;
}

/* The name of a process, in the first line, is anything. */
static bool
status_has(const char *status, const char *line)
{
    size_t length = strlen(line);
    const char *at;

    for (at = strchr(status, '\n'); at; at = strchr(at + 1, '\n'))
        if (!strncmp(at + 1, line, length) && at[1 + length] == '\n')
            return true;
    return false;
}

/* Every namespace must be another than kernelhostd's own. The time namespace of
 * PID 1 itself changes at exec only from Linux 6.2 on; its children's always. */
static int
check_namespaces(pid_t pid, struct kh_error *err)
{
    static const char *const names[] = {"cgroup", "ipc", "mnt",  "net",
                                        "pid",    "uts", "user", "time_for_children"};
    size_t i;

    for (i = 0; i < KH_COUNT(names); i++) {
        char path[64], theirs[64] = "", ours[64] = "";

        snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, names[i]);
        if (readlink(path, theirs, sizeof(theirs) - 1) < 0)
            return kh_fail_errno(err, "cannot read '%s'", path);
        snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        if (readlink(path, ours, sizeof(ours) - 1) < 0)
            return kh_fail_errno(err, "cannot read '%s'", path);
        if (!strcmp(ours, theirs))
            return kh_fail(err, EPERM, "the sandbox shares the host's %s namespace",
                           names[i]);
    }
    return 0;
}

static int
check_same_namespaces(pid_t pid, pid_t init, struct kh_error *err)
{
    static const char *const names[] = {"cgroup", "ipc", "mnt",  "net",
                                        "pid",    "uts", "user", "time"};
    size_t i;

    for (i = 0; i < KH_COUNT(names); i++) {
        char path[64], theirs[64] = "", inits[64] = "";

        snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, names[i]);
        if (readlink(path, theirs, sizeof(theirs) - 1) < 0)
            return kh_fail_errno(err, "cannot read '%s'", path);
        snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)init, names[i]);
        if (readlink(path, inits, sizeof(inits) - 1) < 0)
            return kh_fail_errno(err, "cannot read '%s'", path);
        if (strcmp(inits, theirs) != 0)
            return kh_fail(err, EPERM,
                           "process %d is not in the sandbox's %s namespace", (int)pid,
                           names[i]);
    }
    return 0;
}

/* Fails with EPERM for the first of the COUNT lines that is not in the file PATH, and
 * when there are fewer than FILTERS seccomp filters. */
static int
check_status_at(const char *path, const char *const *golden, size_t count,
                unsigned long filters, struct kh_error *err)
{
    static const char label[] = "\nSeccomp_filters:\t";
    AUTO_FREE char *status = NULL;
    const char *found;
    size_t i;
    int r = kh_fd_read_file(AT_FDCWD, path, STATUS_MAX, &status, NULL, err);

    if (r < 0)
        return r;
    for (i = 0; i < count; i++)
        if (!status_has(status, golden[i]))
            return kh_fail(err, EPERM, "'%s' is not confined: expected '%s'", path,
                           golden[i]);
    found = filters ? strstr(status, label) : NULL;
    if (filters && (!found || strtoul(found + strlen(label), NULL, 10) < filters))
        return kh_fail(err, EPERM, "'%s' has too few seccomp filters", path);
    return 0;
}

static int
check_status(pid_t pid, const char *const *golden, size_t count, struct kh_error *err)
{
    char path[48];

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    return check_status_at(path, golden, count, 0, err);
}

int
kh_posture_check(uint32_t id_first, pid_t pid, struct kh_error *err)
{
    const struct ids ids = ids_of(id_first);
    char caps[2][40];
    const char *const golden[] = {
        ids.uid,
        ids.gid,
        "Groups:\t ",
        caps[0],
        caps[1],
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "CapInh:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Threads:\t1",
    };
    static const char *const cap_names[] = {"CapPrm", "CapEff"};
    size_t i;
    int r;

    for (i = 0; i < KH_COUNT(cap_names); i++)
        snprintf(caps[i], sizeof(caps[i]), "%s:\t%016" PRIx64, cap_names[i],
                 (uint64_t)KH_INIT_CAPS);
    r = check_status(pid, golden, KH_COUNT(golden), err);
    return r < 0 ? r : check_namespaces(pid, err);
}

int
kh_posture_check_runner(const struct kh_box *box, pid_t pid, struct kh_error *err)
{
    const struct ids ids =
        ids_of(kh_idmap_first(box->host->id_base, box->slot) + KH_USER_UID);
    const char *const golden[] = {
        ids.uid,
        ids.gid,
        WITHOUT_PRIVILEGES,
        "Seccomp_filters:\t4", /* two of the zygote's, two of the sandbox's */
        "Threads:\t1",
    };
    int r = check_status(pid, golden, KH_COUNT(golden), err);

    return r < 0 ? r : check_same_namespaces(pid, box->process.pid, err);
}

/* ---- all of them ---- */

static int
check_threads(pid_t pid, const char *const *golden, size_t count, struct kh_error *err)
{
    char path[64];
    struct dirent *entry;
    DIR *dir;
    int r = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : kh_fail_errno(err, "cannot list '%s'", path);
    while (r == 0 && (entry = readdir(dir))) {
        char status[64 + sizeof(entry->d_name) + 16];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(status, sizeof(status), "%s/%s/status", path, entry->d_name);
        /* Those of the sandbox; a zygote's, or the user's own, may be below and above.
         */
        r = check_status_at(status, golden, count, KH_FILTER_PROGRAMS, err);
    }
    closedir(dir);
    return r;
}

int
kh_posture_check_all(struct kh_cgroups *groups, const char *id, uint32_t id_first,
                     pid_t init, struct kh_error *err)
{
    const struct ids ids = ids_of(id_first + KH_USER_UID);
    const char *const golden[] = {ids.uid, ids.gid, WITHOUT_PRIVILEGES};
    AUTO_FREE pid_t *pids = NULL;
    size_t count = 0, i;
    int r = kh_posture_check(id_first, init, err);

    if (r == 0)
        r = kh_cgroup_list(groups, id, &pids, &count, err);
    for (i = 0; r == 0 && i < count; i++) {
        if (pids[i] == init)
            continue;
        r = check_threads(pids[i], golden, KH_COUNT(golden), err);
        if (r == 0)
            r = check_same_namespaces(pids[i], init, err);
    }
    return r;
}
