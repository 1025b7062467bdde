#include "sandbox/host/posture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "sandbox/host/privs.h"

#define STATUS_MAX 16384

static bool
status_has(const char *status, const char *line)
{
    const char *at = strstr(status, line);

    return at && (at == status || at[-1] == '\n') && at[strlen(line)] == '\n';
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

int
kh_posture_check(uint32_t id_first, pid_t pid, struct kh_error *err)
{
    unsigned first = id_first;
    char uid[80], gid[80], caps[2][40], path[48];
    const char *const golden[] = {
        uid,
        gid,
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
    AUTO_FREE char *status = NULL;
    size_t i;
    int r;

    snprintf(uid, sizeof(uid), "Uid:\t%u\t%u\t%u\t%u", first, first, first, first);
    snprintf(gid, sizeof(gid), "Gid:\t%u\t%u\t%u\t%u", first, first, first, first);
    for (i = 0; i < KH_COUNT(cap_names); i++)
        snprintf(caps[i], sizeof(caps[i]), "%s:\t%016" PRIx64, cap_names[i],
                 (uint64_t)KH_INIT_CAPS);
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    r = kh_fd_read_file(AT_FDCWD, path, STATUS_MAX, &status, NULL, err);
    if (r < 0)
        return r;
    for (i = 0; i < KH_COUNT(golden); i++)
        if (!status_has(status, golden[i]))
            return kh_fail(err, EPERM,
                           "the sandbox's first process is not confined: "
                           "expected '%s'",
                           golden[i]);
    return check_namespaces(pid, err);
}
