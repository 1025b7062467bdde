#include "sandbox/host/box.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "protocol/link/init.h"
#include "sandbox/host/image.h"
#include "sandbox/host/plan.h"
#include "sandbox/host/spawn.h"
#include "sandbox/host/sys.h"

static struct kh_box *
box_new(struct kh_host *host, const struct kh_record *record)
{
    struct kh_box *box = kh_xcalloc(1, sizeof(*box));

    box->record = *record;
    box->pidfd = -1;
    kh_id_text(record->id, box->id);
    box->next = host->boxes;
    host->boxes = box;
    return box;
}

void
kh_box_adopt(struct kh_host *host, const struct kh_record *record)
{
    struct kh_box *box = box_new(host, record);

    box->phase = KH_BOX_STOPPED;
    box->record.state = KH_SANDBOX_STOPPED;
}

struct kh_box *
kh_box_find(struct kh_host *host, const char *name)
{
    struct kh_box *box;

    for (box = host->boxes; box; box = box->next)
        if (!strcmp(box->record.name, name))
            return box;
    return NULL;
}

void
kh_box_forget(struct kh_host *host, struct kh_box *box)
{
    struct kh_box **at;

    for (at = &host->boxes; *at && *at != box; at = &(*at)->next)
        ;
    if (*at)
        *at = box->next;
    kh_fd_close(&box->pidfd);
    free(box);
}

/* Everything that can be wrong is found here, before a process exists. */
static int
make_plan(struct kh_host *host, struct kh_box *box, struct kh_plan **ret_plan,
          struct kh_error *err)
{
    AUTO(kh_plan)
    struct kh_plan *plan = kh_plan_new(box->record.name, &box->record.limits);
    int r;

    plan->id_first = kh_idmap_first(host->id_base, box->slot);
    plan->mount_point = host->mount_point;
    plan->filter = host->filter;
    plan->layer[plan->layers] = fcntl(host->kit, F_DUPFD_CLOEXEC, 0);
    if (plan->layer[plan->layers++] < 0)
        return kh_fail_errno(err, "cannot duplicate a descriptor");
    r = kh_image_open(&host->store, box->record.image_id, plan, err);
    if (r == 0) {
        plan->box = kh_store_open_box(&host->store, box->record.id, err);
        r = plan->box < 0 ? plan->box : kh_plan_facts(plan, err);
    }
    if (r == 0)
        *ret_plan = STEAL_PTR(plan);
    return r;
}

static int
launch(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    AUTO(kh_plan) struct kh_plan *plan = NULL;
    int r = make_plan(host, box, &plan, err);

    if (r == 0)
        r = kh_cgroup_create(host->groups, box->id, &box->record.limits, err);
    if (r < 0)
        return r;
    r = kh_spawn(plan, host->groups, box->id, &box->pid, &box->pidfd, err);
    if (r < 0)
        (void)kh_cgroup_remove(host->groups, box->id, NULL);
    return r;
}

static int
begin(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    int r;

    if (box->phase == KH_BOX_RUNNING)
        return kh_fail(err, EALREADY, "sandbox '%s' is running", box->record.name);
    if (box->phase != KH_BOX_STOPPED)
        return kh_fail(err, EBUSY, "sandbox '%s' is being stopped (hint: try again)",
                       box->record.name);
    r = kh_host_take_slot(host, &box->slot, err);
    if (r < 0)
        return r;
    r = launch(host, box, err);
    if (r < 0) {
        kh_host_give_slot(host, box->slot);
        return kh_fail_in(err, "cannot start sandbox '%s'", box->record.name);
    }
    box->phase = KH_BOX_RUNNING;
    box->record.state = KH_SANDBOX_RUNNING;
    box->record.started = (uint64_t)time(NULL);
    memset(&box->last_usage, 0, sizeof(box->last_usage));
    host->running++;
    return 0;
}

int
kh_box_start(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    int r = begin(host, box, err);

    return r < 0 ? r : kh_store_save(&host->store, &box->record, err);
}

int
kh_box_create(struct kh_host *host, const char *name, const char *image,
              const struct kh_limits *limits, struct kh_box **ret_box,
              struct kh_error *err)
{
    struct kh_record record = {.limits = *limits, .state = KH_SANDBOX_RUNNING};
    struct kh_box *box;
    pid_t cleaner;
    int r;

    if (kh_box_find(host, name))
        return kh_fail(err, EEXIST, "there is already a sandbox '%s'", name);
    r = kh_limits_check(&record.limits, err);
    if (r == 0)
        r = kh_image_find(&host->store, image, record.image_id, err);
    if (r < 0)
        return r;
    snprintf(record.name, sizeof(record.name), "%s", name);
    snprintf(record.image, sizeof(record.image), "%s", image);
    kh_random(record.id, sizeof(record.id));
    record.created = record.started = (uint64_t)time(NULL);
    r = kh_store_create(&host->store, &record, err);
    if (r < 0)
        return r;
    box = box_new(host, &record);
    r = begin(host, box, err);
    if (r < 0) {
        (void)kh_store_discard(&host->store, &record, NULL);
        cleaner = kh_host_delete_trash(host, box->id, NULL);
        (void)cleaner; /* reaped by the loop as nobody's */
        kh_box_forget(host, box);
        return r;
    }
    *ret_box = box;
    return 0;
}

static int
begin_removal(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    int r = kh_store_discard(&host->store, &box->record, err);
    pid_t pid;

    if (r < 0)
        return r;
    pid = kh_host_delete_trash(host, box->id, err);
    if (pid < 0)
        return (int)pid;
    box->phase = KH_BOX_REMOVING;
    box->pid = pid;
    return 0;
}

int
kh_box_stop(struct kh_host *host, struct kh_box *box, bool remove, struct kh_error *err)
{
    switch (box->phase) {
    case KH_BOX_STOPPED:
        return remove ? begin_removal(host, box, err)
                      : kh_fail(err, EALREADY, "sandbox '%s' is stopped",
                                box->record.name);
    case KH_BOX_RUNNING:
        kh_cgroup_usage(host->groups, box->id, &box->last_usage);
        box->phase = KH_BOX_STOPPING;
        box->remove = remove;
        kh_cgroup_kill(host->groups, box->id);
        (void)kh_sys_pidfd_signal(box->pidfd, SIGKILL);
        return 0;
    default:
        return kh_fail(err, EBUSY, "sandbox '%s' is being stopped (hint: try again)",
                       box->record.name);
    }
}

/* PID 1 was reaped: the kernel has killed and reaped everything else inside. */
static int
ended(struct kh_host *host, struct kh_box *box, bool *ret_done, struct kh_error *err)
{
    int r = 0;

    if (box->phase == KH_BOX_RUNNING)
        kh_cgroup_usage(host->groups, box->id, &box->last_usage);
    /* What is charged now is gone with the processes; the sums stay. */
    box->last_usage.memory = 0;
    box->last_usage.pids = 0;
    (void)kh_cgroup_remove(host->groups, box->id, NULL);
    kh_host_give_slot(host, box->slot);
    kh_fd_close(&box->pidfd);
    box->pid = 0;
    host->running--;
    box->phase = KH_BOX_STOPPED;
    box->record.state = KH_SANDBOX_STOPPED;
    *ret_done = !box->remove;
    if (box->remove) {
        box->remove = false;
        r = begin_removal(host, box, err);
        *ret_done = r < 0;
    } else {
        r = kh_store_save(&host->store, &box->record, err);
    }
    return r;
}

struct kh_box *
kh_box_child_ended(struct kh_host *host, pid_t pid, int status, bool *ret_done,
                   struct kh_error *err)
{
    struct kh_box *box;

    for (box = host->boxes; box && box->pid != pid; box = box->next)
        ;
    *ret_done = false;
    if (!box)
        return NULL;
    if (box->phase == KH_BOX_REMOVING) {
        box->pid = 0;
        *ret_done = true;
        if (status != 0)
            kh_fail(err, EIO,
                    "cannot delete the whole disk of '%s' (hint: the rest is "
                    "in the state directory's trash/ and is tried again at "
                    "the next start)",
                    box->record.name);
        return box;
    }
    (void)ended(host, box, ret_done, err);
    return box;
}

int
kh_box_connect(struct kh_box *box, struct kh_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD int root = -1, target = -1, sock = -1;
    char path[40];
    struct stat st;

    if (box->phase != KH_BOX_RUNNING)
        return kh_fail(err, ENOTCONN,
                       "sandbox '%s' is not running (hint: kernelhost "
                       "start %s)",
                       box->record.name, box->record.name);
    snprintf(path, sizeof(path), "/proc/%d/root", (int)box->pid);
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* The pid is our own unreaped child's, so it cannot be another process. */
    if (root < 0)
        return kh_fail_errno(err, "cannot reach the root of '%s'", box->record.name);
    target = kh_sys_open_in(root, KH_INIT_SOCKET, O_PATH);
    if (target < 0 || fstat(target, &st) < 0)
        return kh_fail_errno(err, "cannot reach kernelhost-init of '%s'",
                             box->record.name);
    if (!S_ISSOCK(st.st_mode))
        return kh_fail(err, ENOTSOCK, "kernelhost-init of '%s' has no socket",
                       box->record.name);
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    kh_fd_refuse_fds(sock);
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", target);
    if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
        return kh_fail_errno(err, "cannot connect to kernelhost-init of '%s'",
                             box->record.name);
    return STEAL_FD(sock);
}
