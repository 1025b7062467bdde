#include "sandbox/host/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/tree.h"

/* What was there at the start is moved aside, away from what comes later. */
#define OLD "old"

/* Two helpers must not work on the same tree, and that of an earlier kernelhostd
 * may take a moment to die: each holds the trash shared, and who deletes what is
 * old first waits until it can have it alone. The child has its own opening of the
 * directory: locks go with that. */
static int
wait_for_others(const struct kh_store *store, bool old)
{
    int lock = openat(store->trash, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (lock < 0 || (old && flock(lock, LOCK_EX) < 0) || flock(lock, LOCK_SH) < 0)
        return -errno;
    return 0; /* held until the process ends */
}

static int delete (const struct kh_store *store, const char *name)
{
    AUTO_FD int dir = -1;
    int r = wait_for_others(store, !strcmp(name, OLD));

    if (r < 0)
        return r;
    dir = openat(store->trash, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    r = dir < 0 ? -errno : kh_tree_empty(dir, NULL);
    if (r == 0 && unlinkat(store->trash, name, AT_REMOVEDIR) < 0)
        r = -errno;
    return r;
}

static void
nobody_waits(struct kh_process *process, int status)
{
    (void)status;
    free(process);
}

int
kh_trash_delete(const struct kh_store *store, const char *name,
                struct kh_process *process,
                void (*ended)(struct kh_process *, int status), void *owner,
                struct kh_error *err)
{
    pid_t parent = getpid(), pid;
    int pidfd = -1, r;

    pid = kh_sys_clone(0, -1, &pidfd);
    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    if (pid == 0) {
        setpriority(PRIO_PROCESS, 0, 10);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        _exit(getppid() != parent || delete (store, name) < 0);
    }
    if (!process) {
        process = kh_xcalloc(1, sizeof(*process));
        ended = nobody_waits;
    }
    r = kh_process_watch(process, pid, pidfd, ended, owner, err);
    if (r < 0 && ended == nobody_waits)
        free(process);
    return r;
}

/* Under fresh names: two starts may have left the same one. */
static int
move_aside(const struct kh_store *store, const char *name, struct kh_error *err)
{
    char fresh[32];
    uint64_t number;

    if (mkdirat(store->trash, OLD, 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make a directory in the trash");
    kh_random(&number, sizeof(number));
    snprintf(fresh, sizeof(fresh), OLD "/%016" PRIx64, number);
    if (renameat(store->trash, name, store->trash, fresh) < 0 && errno != ENOENT)
        return kh_fail_errno(err, "cannot move within the trash");
    return 0;
}

int
kh_trash_delete_old(const struct kh_store *store, struct kh_error *err)
{
    int fd = openat(store->trash, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    bool any = false;

    if (!dir)
        return kh_fail_errno(err, "cannot list the trash");
    while (r == 0 && (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        any = true;
        if (strcmp(entry->d_name, OLD) != 0)
            r = move_aside(store, entry->d_name, err);
    }
    closedir(dir);
    return r < 0 || !any ? r : kh_trash_delete(store, OLD, NULL, NULL, NULL, err);
}
