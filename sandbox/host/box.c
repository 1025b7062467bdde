#include "sandbox/host/box_own.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/link/init.h"
#include "sandbox/host/image.h"
#include "sandbox/host/hibernate.h"
#include "sandbox/host/join.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/plan.h"
#include "sandbox/host/rollback.h"
#include "sandbox/host/spare.h"
#include "sandbox/host/spawn.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/trash.h"
#include "sandbox/host/wake.h"
#include "sandbox/host/zygote.h"

struct kh_box *
kh_box_new(struct kh_host *host, const struct kh_record *record)
{
    struct kh_box *box = kh_xcalloc(1, sizeof(*box));

    box->host = host;
    box->record = *record;
    box->process.pidfd = -1;
    kh_id_text(record->id, box->id);
    kh_record_place(record, box->place);
    kh_boxes_add(&host->boxes, box);
    return box;
}

struct kh_box *
kh_box_find(struct kh_host *host, const char *name)
{
    return kh_boxes_find(&host->boxes, name);
}

void
kh_box_forget(struct kh_host *host, struct kh_box *box)
{
    kh_boxes_remove(&host->boxes, box);
    kh_process_forget(&box->process);
    free(box);
}

int
kh_box_start(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    int r = box->phase == KH_BOX_STOPPED
                ? kh_admission_check(&host->admission, host->store.state, host->running,
                                     err)
                : 0;

    return r < 0 ? r : kh_box_begin(host, box, err);
}

int
kh_box_make(struct kh_host *host, const struct kh_record *record, const char *from,
            struct kh_box **ret_box, struct kh_error *err)
{
    struct kh_box *box;
    int r =
        from ? kh_store_prepare_from(&host->store, record->id, record->name, from, err)
             : kh_store_prepare(&host->store, record->id, record->name, err);

    if (r < 0)
        return r;
    box = kh_box_new(host, record);
    r = kh_box_begin(host, box, err);
    if (r < 0) {
        (void)kh_store_discard(&host->store, record, NULL);
        (void)kh_trash_delete(&host->store, box->id, NULL, NULL, NULL, NULL);
        kh_box_forget(host, box);
        return r;
    }
    *ret_box = box;
    return 0;
}

void
kh_box_rename(struct kh_box *box, const char *name)
{
    kh_boxes_remove(&box->host->boxes, box);
    snprintf(box->record.name, sizeof(box->record.name), "%s", name);
    kh_boxes_add(&box->host->boxes, box);
}

int
kh_box_create(struct kh_host *host, const struct kh_record *wish, const char *from,
              struct kh_box **ret_box, struct kh_error *err)
{
    struct kh_record record = *wish;
    struct kh_box *box;
    int r;

    if (kh_box_find(host, record.name))
        return kh_fail(err, EEXIST, "there is already a sandbox '%s'", record.name);
    r = kh_limits_check(&record.limits, err);
    if (r == 0)
        r = kh_disk_check(host->store.disk, &record.limits.disk, err);
    if (r == 0)
        r = kh_admission_check(&host->admission, host->store.state, host->running, err);
    if (r < 0)
        return r;
    kh_random(record.id, sizeof(record.id));
    record.state = KH_SANDBOX_RUNNING;
    record.created = record.started = (uint64_t)time(NULL);
    box = from ? NULL : kh_spares_claim(host, &record);
    r = box ? 0 : kh_box_make(host, &record, from, &box, err);
    if (r < 0)
        return r;
    r = kh_store_create(&host->store, &box->record, err);
    if (r < 0) {
        (void)kh_box_stop(host, box, true, NULL);
        return r;
    }
    *ret_box = box;
    return 0;
}

static void
disk_deleted(struct kh_process *process, int status)
{
    struct kh_box *box = process->owner;
    struct kh_host *host = box->host;
    struct kh_error failed = {0};

    if (status != 0)
        kh_fail(&failed, EIO,
                "cannot delete the whole disk of '%s' (hint: the rest is in the state "
                "directory's trash/ and is tried again at the next start)",
                box->record.name);
    kh_metering_close(host, box);
    host->box_ended(host, box, status, &failed);
    kh_box_forget(host, box);
}

static int
begin_removal(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    int r = kh_store_discard(&host->store, &box->record, err);

    if (r == 0)
        kh_memory_drop(&host->store, box->place);
    if (r == 0)
        r = kh_trash_delete(&host->store, box->id, &box->process, disk_deleted, box,
                            err);
    if (r == 0)
        box->phase = KH_BOX_REMOVING;
    return r;
}

/* The record first: from then on the memory is void. */
static int
forget_memory(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    static const struct kh_error none;
    int r;

    box->record.state = KH_SANDBOX_STOPPED;
    r = kh_store_save(&host->store, &box->record, err);
    if (r < 0) {
        box->record.state = KH_SANDBOX_HIBERNATED;
        return r;
    }
    kh_memory_drop(&host->store, box->place);
    box->phase = KH_BOX_STOPPED;
    box->saved = 0;
    kh_metering_read(host, box, NULL);
    host->box_ended(host, box, 0, &none);
    return 0;
}

void
kh_box_catch_up(struct kh_box *box)
{
    struct kh_box_waiter *waiters = STEAL_PTR(box->waiters), *next;
    enum kh_box_later later = box->later;
    struct kh_error err = {0};

    box->later = KH_LATER_NOTHING;
    if (later == KH_LATER_END)
        kh_box_end(box);
    else if (later != KH_LATER_NOTHING &&
             kh_box_stop(box->host, box, later == KH_LATER_REMOVE, &err) < 0)
        box->host->box_ended(box->host, box, 0, &err);
    for (; waiters; waiters = next) {
        next = waiters->next;
        waiters->settled(waiters);
    }
}

void
kh_box_wait(struct kh_box *box, struct kh_box_waiter *waiter)
{
    struct kh_box_waiter **at = &box->waiters;

    while (*at)
        at = &(*at)->next;
    waiter->next = NULL;
    *at = waiter;
}

void
kh_box_end(struct kh_box *box)
{
    if (box->phase == KH_BOX_RUNNING)
        (void)kh_box_stop(box->host, box, false, NULL);
    else if ((box->phase == KH_BOX_SAVING || box->phase == KH_BOX_WAKING) &&
             box->later == KH_LATER_NOTHING)
        box->later = KH_LATER_END;
}

int
kh_box_stop(struct kh_host *host, struct kh_box *box, bool remove, struct kh_error *err)
{
    int r;

    if (remove && (box->phase == KH_BOX_STOPPED || box->phase == KH_BOX_RUNNING ||
                   box->phase == KH_BOX_HIBERNATED))
        kh_metering_settle(host, box);
    switch (box->phase) {
    case KH_BOX_STOPPED:
        return remove ? begin_removal(host, box, err)
                      : kh_fail(err, EALREADY, "sandbox '%s' is stopped",
                                box->record.name);
    case KH_BOX_SAVING: /* it shall not be: nobody waits for all of it */
        kh_cgroup_kill(host->groups, box->id);
        kh_process_kill(&box->process, SIGKILL);
        /* fall through */
    case KH_BOX_WAKING:
        if (box->later != KH_LATER_REMOVE)
            box->later = remove ? KH_LATER_REMOVE : KH_LATER_STOP;
        return 0;
    case KH_BOX_HIBERNATED:
        return remove ? begin_removal(host, box, err) : forget_memory(host, box, err);
    case KH_BOX_RUNNING:
        /* Should kernelhostd die now, the next one goes on where this one was: what
         * has no record is deleted, and what has no birth is ended. */
        r = remove ? kh_store_forget(&host->store, &box->record, err) : 0;
        if (r < 0)
            return r;
        kh_store_drop_birth(&host->store, box->record.id);
        kh_cgroup_usage(host->groups, box->id, &box->last_usage);
        box->phase = KH_BOX_STOPPING;
        box->remove = remove || box->spare != KH_SPARE_NOT;
        box->frozen = false; /* who is killed ends, frozen or not */
        kh_cgroup_kill(host->groups, box->id);
        kh_process_kill(&box->process, SIGKILL);
        return 0;
    default:
        return kh_fail(err, EBUSY, "sandbox '%s' is being stopped (hint: try again)",
                       box->record.name);
    }
}

/* PID 1 has ended: the kernel has killed and reaped everything else inside. */
void
kh_box_init_ended(struct kh_process *process, int status)
{
    struct kh_box *box = process->owner;
    struct kh_host *host = box->host;
    struct kh_error failed = {0};
    int r;

    kh_join_cancel(box);
    if (box->phase == KH_BOX_RUNNING || box->phase == KH_BOX_SAVING) {
        kh_store_drop_birth(&host->store, box->record.id);
        kh_cgroup_usage(host->groups, box->id, &box->last_usage);
    }
    /* What is charged now is gone with the processes; the sums stay. */
    box->last_usage.memory = 0;
    box->last_usage.pids = 0;
    kh_metering_settle(host, box);
    (void)kh_cgroup_remove(host->groups, box->id, NULL);
    kh_box_give_ids(host, box);
    host->running--;
    if (kh_hibernate_ended(box) || kh_rollback_ended(box))
        return;
    kh_box_forget_kept(box);
    box->frozen = false;
    box->phase = KH_BOX_STOPPED;
    box->record.state = KH_SANDBOX_STOPPED;
    kh_metering_read(host, box, NULL);
    if (box->later == KH_LATER_REMOVE)
        box->remove = true; /* it was SAVING */
    box->later = KH_LATER_NOTHING;
    kh_box_catch_up(box);
    if (box->remove) {
        box->remove = false;
        r = begin_removal(host, box, &failed);
        if (r == 0)
            return; /* disk_deleted goes on */
    } else {
        (void)kh_store_save(&host->store, &box->record, &failed);
    }
    host->box_ended(host, box, status, &failed);
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
    snprintf(path, sizeof(path), "/proc/%d/root", (int)box->process.pid);
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* While the process exists its number is no other's: so this was its root. */
    if (root < 0 || !kh_process_exists(&box->process))
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
    box->open = true;
    return STEAL_FD(sock);
}
