/* Freezing: cgroup.freeze of the v2 tree, which every kernel that we run on has, be
 * the controllers on v1 or not. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/cgroup_own.h"

#define IO_PROCESSES 1000

/* What the "frozen" line of cgroup.events says; -1: it cannot be read. */
static int
read_frozen(int events)
{
    char text[256];
    ssize_t n = pread(events, text, sizeof(text) - 1, 0);
    const char *at;

    if (n <= 0)
        return -1;
    text[n] = '\0';
    at = strstr(text, "frozen ");
    return at ? at[strlen("frozen ")] == '1' : -1;
}

static int
open_events(struct kh_cgroups *groups, const char *id, struct kh_error *err)
{
    char path[KH_CGROUP_PATH];
    int fd;

    if (groups->parent[KH_CGROUP_KILL] < 0)
        return kh_fail(err, ENOTSUP,
                       "there is no cgroup v2 tree to freeze in (hint: mount -t "
                       "cgroup2 none /sys/fs/cgroup/unified)");
    fd = openat(groups->parent[KH_CGROUP_KILL],
                kh_cgroup_file(path, sizeof(path), id, "cgroup.events"),
                O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? kh_fail_errno(err, "cannot open the cgroup of '%s'", id) : fd;
}

int
kh_cgroup_freeze(struct kh_cgroups *groups, const char *id, bool freeze,
                 struct kh_error *err)
{
    AUTO_FD int events = open_events(groups, id, err);
    char path[KH_CGROUP_PATH];

    if (events < 0)
        return events;
    return kh_cgroup_put(groups->parent[KH_CGROUP_KILL],
                         kh_cgroup_file(path, sizeof(path), id, "cgroup.freeze"),
                         freeze ? "1" : "0", err);
}

bool
kh_cgroup_is_frozen(struct kh_cgroups *groups, const char *id)
{
    AUTO_FD int events = open_events(groups, id, NULL);

    return events >= 0 && read_frozen(events) == 1;
}

int
kh_cgroup_await_frozen(struct kh_cgroups *groups, const char *id, int timeout_ms,
                       struct kh_error *err)
{
    AUTO_FD int events = open_events(groups, id, err);
    struct pollfd poller = {.fd = events, .events = POLLPRI};
    int left = timeout_ms;

    if (events < 0)
        return events;
    while (read_frozen(events) != 1) {
        /* The file notifies of changes; a short wait covers one that came first. */
        (void)poll(&poller, 1, 10);
        left -= 10;
        if (left <= 0)
            return kh_fail(err, ETIMEDOUT,
                           "the processes did not freeze in %d ms (one of them may be "
                           "waiting for a disk)",
                           timeout_ms);
    }
    return 0;
}

int
kh_cgroup_list(struct kh_cgroups *groups, const char *id, pid_t **ret_pids,
               size_t *ret_count, struct kh_error *err)
{
    return kh_cgroup_list_in(groups, KH_CGROUP_KILL, id, ret_pids, ret_count, err);
}

int
kh_cgroup_list_in(struct kh_cgroups *groups, int role, const char *id, pid_t **ret_pids,
                  size_t *ret_count, struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    char path[KH_CGROUP_PATH], *at, *next;
    size_t count = 0, size = 0;
    pid_t *pids = NULL;
    int r = kh_fd_read_file(groups->parent[role],
                            kh_cgroup_file(path, sizeof(path), id, "cgroup.procs"),
                            KH_CGROUP_FILE_MAX * 16, &text, NULL, err);

    if (r < 0)
        return r;
    for (at = text; *at; at = next) {
        long pid = strtol(at, &next, 10);

        if (next == at)
            break;
        if (count == size) {
            size = size ? 2 * size : 32;
            pids = kh_xrealloc(pids, size * sizeof(*pids));
        }
        pids[count++] = (pid_t)pid;
    }
    *ret_pids = pids;
    *ret_count = count;
    return 0;
}

/* The kernel tells it by process; what ended is counted by the process that reaped it.
 */
uint64_t
kh_cgroup_io(struct kh_cgroups *groups, const char *id)
{
    AUTO_FREE pid_t *pids = NULL;
    unsigned long long got, put;
    uint64_t sum = 0;
    size_t count = 0, i;

    if (kh_cgroup_list(groups, id, &pids, &count, NULL) < 0)
        return 0;
    for (i = 0; i < count && i < IO_PROCESSES; i++) {
        AUTO_FREE char *text = NULL;
        char path[32];

        snprintf(path, sizeof(path), "/proc/%d/io", (int)pids[i]);
        if (kh_fd_read_file(AT_FDCWD, path, KH_CGROUP_FILE_MAX, &text, NULL, NULL) ==
                0 &&
            sscanf(text, "rchar: %llu wchar: %llu", &got, &put) == 2)
            sum += got + put;
    }
    return sum;
}

/* On v2 the parent holds no processes itself, so there is a group for them. */
int
kh_cgroup_put_aside(struct kh_cgroups *groups, pid_t pid, struct kh_error *err)
{
    int parent = groups->parent[KH_CGROUP_KILL];
    char text[16];

    if (mkdirat(parent, KH_CGROUP_HELPERS, 0755) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make cgroup '" KH_CGROUP_HELPERS "'");
    snprintf(text, sizeof(text), "%d", (int)pid);
    return kh_cgroup_put(parent, KH_CGROUP_HELPERS "/cgroup.procs", text, err);
}

int
kh_cgroup_where(struct kh_cgroups *groups, const char *id, char *out, size_t size,
                struct kh_error *err)
{
    char link[48], parent[PATH_MAX];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", groups->parent[KH_CGROUP_KILL]);
    n = readlink(link, parent, sizeof(parent) - 1);
    if (n < 0)
        return kh_fail_errno(err, "cannot find the cgroup of '%s'", id);
    parent[n] = '\0';
    if ((size_t)n + strlen(id) + 2 > size)
        return kh_fail(err, ENAMETOOLONG, "the path of the cgroup is too long");
    kh_cgroup_file(out, size, parent, id);
    return 0;
}

void
kh_cgroup_clear_aside(struct kh_cgroups *groups)
{
    if (groups->parent[KH_CGROUP_KILL] >= 0)
        (void)unlinkat(groups->parent[KH_CGROUP_KILL], KH_CGROUP_HELPERS, AT_REMOVEDIR);
}
