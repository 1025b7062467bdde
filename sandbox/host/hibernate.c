#include "sandbox/host/hibernate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/nsfs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/box_own.h"
#include "sandbox/host/criu.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/posture.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/weigh.h"

#define MOUNTINFO_MAX (256u * 1024)
#define ARGS_MAX      400
#define DIR_FD        3

struct kh_hibernate {
    struct kh_box *box;
    struct kh_process writer;
    int dir;
    unsigned flags;
    uint64_t bytes; /* that it will take on the disk, about */
    bool committed;
    void (*done)(void *owner, const struct kh_error *err);
    void *owner;
};

/* ---- the child that writes ---- */

struct arguments {
    const char *list[ARGS_MAX];
    size_t count;
    char pid[16];
    char group[PATH_MAX];
    char *mounts; /* text that the list points into */
};

static void
add(struct arguments *a, const char *argument)
{
    if (a->count + 1 < ARGS_MAX)
        a->list[a->count++] = argument;
}

/* What lies on /proc is ours and is made anew: CRIU need not know of it. The mount
 * points are field 5 of mountinfo, and below /proc nobody but us could mount. */
static int
skip_covers(struct arguments *a, pid_t pid, struct kh_error *err)
{
    char path[48], *line, *save = NULL;
    int r;

    snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
    r = kh_fd_read_file(AT_FDCWD, path, MOUNTINFO_MAX, &a->mounts, NULL, err);
    if (r < 0)
        return r;
    for (line = strtok_r(a->mounts, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *at = line, *end;
        int field;

        for (field = 1; at && field < 5; field++)
            at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
        end = at ? strchr(at, ' ') : NULL;
        if (!end || strncmp(at, "/proc/", 6) != 0)
            continue;
        *end = '\0';
        add(a, "--skip-mnt");
        add(a, at);
    }
    return a->count < ARGS_MAX - 32 ? 0 : kh_fail(err, E2BIG, "too many mounts");
}

static int
make_arguments(const struct kh_box *box, struct arguments *a, struct kh_error *err)
{
    static const char *const fixed[] = {
        "--leave-running",
        "--manage-cgroups=ignore",
        "--network-lock",
        "skip",
        "--empty-ns",
        "net",
        "--external",
        "mnt[/dev]:dev",
        "--tcp-established",
        "--file-locks",
        "--ghost-limit",
        "256M",
        "--force-irmap",
        "--irmap-scan-path",
        "/workspace",
        "--irmap-scan-path",
        "/home",
        "--irmap-scan-path",
        "/tmp",
        "--log-file",
        KH_MEMORY_LOG,
        "-v1",
    };
    size_t i;

    add(a, "dump");
    add(a, "--tree");
    snprintf(a->pid, sizeof(a->pid), "%d", (int)box->process.pid);
    add(a, a->pid);
    if (kh_cgroup_where(box->host->groups, box->id, a->group, sizeof(a->group), err) <
        0)
        return -err->code;
    add(a, "--freeze-cgroup");
    add(a, a->group);
    for (i = 0; i < KH_COUNT(fixed); i++)
        add(a, fixed[i]);
    return skip_covers(a, box->process.pid, err);
}

/* The zygote's user, or root of the sandbox (spawn.c). */
static int
owner_of(pid_t pid, uint32_t *ret_owner, struct kh_error *err)
{
    AUTO_FD int userns = -1;
    char path[48];
    uid_t owner;

    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    userns = open(path, O_RDONLY | O_CLOEXEC);
    if (userns < 0 || ioctl(userns, NS_GET_OWNER_UID, &owner) < 0)
        return kh_fail_errno(err, "cannot tell who owns the user namespace");
    *ret_owner = owner;
    return 0;
}

/* The reason lies where CRIU's would. */
static void __attribute__((noreturn)) fail_with(const struct kh_error *err)
{
    FILE *log = NULL;
    int fd = openat(DIR_FD, KH_MEMORY_LOG, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    log = fd < 0 ? NULL : fdopen(fd, "w");
    if (log) {
        fprintf(log, "Error (kernelhostd): %s\n", err->text);
        fclose(log);
    }
    _exit(1);
}

/* It shall outlive kernelhostd, if need be: CRIU must let go of the processes. So it
 * keeps nothing of kernelhostd's but the directory, and with it its lock. */
static void __attribute__((noreturn))
write_memory(const struct kh_box *box, uint32_t owner, const char *path,
             const struct arguments *a, int dir, bool sync)
{
    struct kh_error err = {0};
    int status = -1;
    pid_t pid;

    (void)setsid();
    if (dup2(dir, DIR_FD) < 0 || syscall(SYS_close_range, DIR_FD + 1, ~0u, 0) < 0)
        _exit(1);
    if (kh_criu_learn(&box->host->criu, &err) < 0 ||
        kh_fault("hibernate-writing", &err) < 0)
        fail_with(&err);
    pid = fork();
    if (pid == 0) {
        (void)kh_criu_exec(&box->host->criu, owner, path, a->list, -1, &err);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0 || status != 0)
        _exit(1);
    _exit(sync && kh_memory_sync(DIR_FD, &err) < 0 ? 2 : 0);
}

/* ---- kernelhostd ---- */

static void
end(struct kh_hibernate *h, const struct kh_error *err)
{
    struct kh_box *box = h->box;
    void (*done)(void *, const struct kh_error *) = h->done;
    void *owner = h->owner;

    kh_fd_close(&h->dir);
    box->host->saving -= h->bytes;
    box->hibernate = NULL;
    free(h);
    done(owner, err);
    if (box->phase != KH_BOX_SAVING)
        kh_box_catch_up(box);
}

static void
give_up(struct kh_hibernate *h, struct kh_error *err)
{
    struct kh_box *box = h->box;

    kh_memory_drop(&box->host->store, box->place);
    kh_fail_in(err, "sandbox '%s' cannot hibernate", box->record.name);
    kh_log(KH_LOG_WARN, "%s", err->text);
    snprintf(box->problem, sizeof(box->problem), "%.*s", (int)sizeof(box->problem) - 1,
             err->text);
    box->phase = KH_BOX_RUNNING;
    kh_metering_skip(box->host, box);
    end(h, err);
}

/* It goes on where it was: the memory is a copy. */
static int
keep(struct kh_hibernate *h, struct kh_error *err)
{
    static const struct kh_error none;
    struct kh_box *box = h->box;
    int r = kh_memory_commit(&box->host->store, box->place, &box->birth, err);

    if (r < 0)
        return r;
    box->kept = true;
    box->phase = KH_BOX_RUNNING;
    kh_metering_skip(box->host, box);
    end(h, &none);
    return 0;
}

/* From here on the memory is what counts, and no longer the processes. */
static int
commit(struct kh_hibernate *h, struct kh_error *err)
{
    struct kh_box *box = h->box;
    struct kh_host *host = box->host;
    int r = kh_memory_commit(&host->store, box->place, &box->birth, err);

    if (r == 0)
        r = kh_fault("hibernate-named", err);
    if (r < 0)
        return r;
    box->record.state = KH_SANDBOX_HIBERNATED;
    r = kh_store_save(&host->store, &box->record, err);
    if (r < 0) {
        box->record.state = KH_SANDBOX_RUNNING;
        return r;
    }
    (void)kh_fault("hibernate-recorded", NULL);
    kh_store_drop_birth(&host->store, box->record.id);
    h->committed = true;
    kh_cgroup_usage(host->groups, box->id, &box->last_usage);
    kh_cgroup_kill(host->groups, box->id);
    kh_process_kill(&box->process, SIGKILL);
    return 0;
}

static void
written(struct kh_process *process, int status)
{
    struct kh_hibernate *h = process->owner;
    struct kh_error err = {0};
    char reason[300];
    int r = 0;

    if (status != 0) {
        kh_criu_reason(h->dir, KH_MEMORY_LOG, reason, sizeof(reason));
        if (!reason[0]) /* also for its log */
            snprintf(reason, sizeof(reason), "%s", kh_memory_full(h->dir));
        r = kh_fail(&err, EIO, "%s",
                    reason[0]                                       ? reason
                    : WIFEXITED(status) && WEXITSTATUS(status) == 2 ? "the disk is full"
                                                                    : "criu failed");
    } else {
        r = kh_fault("hibernate-written", &err);
        if (r == 0)
            r = h->flags & KH_HIBERNATE_KEEP ? keep(h, &err) : commit(h, &err);
    }
    if (r < 0)
        give_up(h, &err);
}

bool
kh_hibernate_ended(struct kh_box *box)
{
    static const struct kh_error none;
    struct kh_hibernate *h = box->hibernate;
    struct kh_error err = {0};
    AUTO_FD int dir = -1;

    if (!h)
        return false;
    if (!h->committed) {
        kh_fail(&err, ESRCH, "sandbox '%s' ended meanwhile", box->record.name);
        kh_process_kill(&h->writer, SIGKILL);
        kh_process_forget(&h->writer);
        kh_memory_drop(&box->host->store, box->place);
        end(h, &err);
        return false;
    }
    box->phase = KH_BOX_HIBERNATED;
    box->frozen = false;
    box->problem[0] = '\0';
    dir = kh_memory_open(&box->host->store, box->place, NULL, NULL, &box->saved, NULL);
    kh_metering_settle(box->host, box);
    end(h, &none);
    return true;
}

static int
start_writer(struct kh_hibernate *h, struct kh_error *err)
{
    struct kh_box *box = h->box;
    struct arguments a = {.count = 0};
    char path[KH_MEMORY_PATH];
    int pidfd = -1, r;
    uint32_t owner = 0;
    pid_t pid;

    r = owner_of(box->process.pid, &owner, err);
    if (r < 0)
        return r;
    h->dir = kh_memory_begin(&box->host->store, box->place, path, err);
    if (h->dir < 0)
        return h->dir;
    r = make_arguments(box, &a, err);
    if (r == 0) {
        pid = kh_sys_clone(0, -1, &pidfd);
        if (pid == 0)
            write_memory(box, owner, path, &a, h->dir,
                         !(h->flags & KH_HIBERNATE_VOLATILE));
        r = pid < 0 ? kh_fail_errno(err, "cannot fork")
                    : kh_process_watch(&h->writer, pid, pidfd, written, h, err);
        if (r < 0 && pid > 0)
            kill(pid, SIGKILL);
    }
    free(a.mounts);
    if (r < 0)
        kh_memory_drop(&box->host->store, box->place);
    return r;
}

/* Also against those that are being written. */
static int
weigh(struct kh_box *box, uint64_t *ret_bytes, struct kh_error *err)
{
    struct kh_host *host = box->host;
    char command[32 + KH_NAME_SIZE];
    struct kh_weight weight;
    int r = kh_weigh(host->groups, box->id, &weight, err);

    *ret_bytes = r < 0 ? 0 : weight.memory + weight.ghosts;
    snprintf(command, sizeof(command), "kernelhost limits %s", box->record.name);
    if (r == 0)
        r = kh_weight_fits(&weight, box->record.limits.memory, command, err);
    if (r == 0)
        r = kh_weight_room(host->store.memory, *ret_bytes + host->saving, err);
    if (r < 0)
        kh_fail_in(err, "sandbox '%s' cannot hibernate", box->record.name);
    return r;
}

static int
may_be_saved(struct kh_box *box, struct kh_error *err)
{
    if (!box->host->criu.program[0])
        return kh_fail(err, ENOTSUP,
                       "this host cannot hibernate sandboxes (hint: kernelhost doctor "
                       "says why)");
    if (box->joins)
        return kh_fail(err, EBUSY, "sandbox '%s' is not at rest (hint: try again)",
                       box->record.name);
    if (box->still)
        return kh_fail(err, EBUSY,
                       "a snapshot of sandbox '%s' is being taken (hint: try again)",
                       box->record.name);
    kh_box_forget_kept(box);
    return 0;
}

int
kh_hibernate_begin(struct kh_box *box, unsigned flags,
                   void (*done)(void *owner, const struct kh_error *err), void *owner,
                   struct kh_error *err)
{
    struct kh_hibernate *h;
    uint64_t bytes = 0;
    int r;

    if ((flags & ~(KH_HIBERNATE_KEEP | KH_HIBERNATE_VOLATILE)) ||
        flags == KH_HIBERNATE_VOLATILE) /* it would be all there is */
        return kh_fail(err, EINVAL, "nobody hibernates that way");
    r = kh_box_freeze(box, true, err); /* it stands still, whatever comes of it */
    if (r == 0)
        r = may_be_saved(box, err);
    if (r == 0)
        r = kh_fault("hibernate-frozen", err);
    if (r == 0)
        r = kh_posture_check_all(box->host->groups, box->id, box->birth.id_first,
                                 box->process.pid, err);
    if (r == 0)
        r = weigh(box, &bytes, err);
    if (r < 0)
        return r;
    h = kh_xcalloc(1, sizeof(*h));
    *h = (struct kh_hibernate){.box = box,
                               .flags = flags,
                               .bytes = bytes,
                               .writer = KH_PROCESS_NONE,
                               .dir = -1,
                               .done = done,
                               .owner = owner};
    r = start_writer(h, err);
    if (r < 0) {
        kh_fd_close(&h->dir);
        free(h);
        return r;
    }
    box->host->saving += bytes;
    box->hibernate = h;
    box->phase = KH_BOX_SAVING;
    return 0;
}

int
kh_hibernate_adopt(struct kh_box *box, struct kh_error *err)
{
    int dir = kh_memory_open(&box->host->store, box->place, NULL, &box->birth,
                             &box->saved, err);

    if (dir < 0)
        return dir;
    close(dir);
    box->phase = KH_BOX_HIBERNATED;
    return 0;
}
