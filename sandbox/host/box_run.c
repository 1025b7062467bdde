/* How a box comes to run: from its record, or because it runs already. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "protocol/link/init.h"
#include "sandbox/host/box_own.h"
#include "sandbox/host/hibernate.h"
#include "sandbox/host/image.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/plan.h"
#include "sandbox/host/spawn.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/zygote.h"

/* Everything that can be wrong is found here, before a process exists. */
int
kh_box_plan(struct kh_host *host, struct kh_box *box, struct kh_plan **ret_plan,
            struct kh_error *err)
{
    AUTO(kh_plan)
    struct kh_plan *plan = kh_plan_new(box->record.name, &box->record.limits);
    int r;

    plan->id_first = kh_idmap_first(host->id_base, box->slot);
    plan->owner = box->zygote ? kh_zygote_owner(box->zygote) : plan->id_first;
    plan->mount_point = host->mount_point;
    plan->filter = host->filter;
    /* What is brought back runs the init that it ran. */
    plan->layer[plan->layers] =
        box->phase == KH_BOX_WAKING
            ? openat(host->store.kit, box->birth.kit,
                     O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
            : fcntl(host->kit, F_DUPFD_CLOEXEC, 0);
    if (plan->layer[plan->layers++] < 0)
        return kh_fail_errno(err, "cannot open the kit");
    r = kh_image_open(&host->store, box->record.image_id, plan, err);
    if (r == 0) {
        plan->box = kh_store_open_disk(&host->store, &box->record, KH_DISK_SLACK, err);
        r = plan->box < 0 ? plan->box : kh_plan_facts(plan, err);
    }
    if (r == 0)
        *ret_plan = STEAL_PTR(plan);
    return r;
}

int
kh_box_note_birth(struct kh_host *host, struct kh_box *box, pid_t pid,
                  uint32_t id_first, struct kh_error *err)
{
    int r;

    box->birth = (struct kh_birth){.slot = box->slot,
                                   .id_first = id_first,
                                   .zygote = box->zygote ? box->zygote->slot
                                                         : KH_BIRTH_NO_ZYGOTE,
                                   .started = (uint64_t)time(NULL),
                                   .init_version = KH_INIT_VERSION};
    kh_random(&box->birth.boot, sizeof(box->birth.boot));
    memcpy(box->birth.kit, host->kit_version, sizeof(box->birth.kit));
    memcpy(box->birth.place, box->record.place, sizeof(box->birth.place));
    r = kh_birth_note(&box->birth, pid, err);
    return r < 0 ? r
                 : kh_store_save_birth(&host->store, box->record.id, &box->birth, err);
}

static void
take_slack_back(struct kh_host *host, const struct kh_box *box)
{
    struct kh_error err = {0};
    AUTO_FD int disk = kh_store_open_disk(&host->store, &box->record, 0, &err);

    if (disk < 0)
        kh_log(KH_LOG_WARN, "%s", err.text);
}

static int
launch(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    AUTO(kh_plan) struct kh_plan *plan = NULL;
    int r = kh_box_plan(host, box, &plan, err);
    AUTO_FD int pidfd = -1;
    pid_t pid = 0;

    if (!plan)
        return r;
    r = kh_cgroup_create(host->groups, box->id, &box->record.limits, err);
    if (r < 0)
        return r;
    r = kh_spawn(plan, host->groups, box->id, &pid, &pidfd, err);
    if (r == 0) {
        take_slack_back(host, box);
        r = kh_box_note_birth(host, box, pid, plan->id_first, err);
        if (r == 0)
            r = kh_process_watch(&box->process, pid, STEAL_FD(pidfd), kh_box_init_ended,
                                 box, err);
        if (r < 0)
            kh_spawn_undo(host->groups, box->id, pid);
    }
    if (r < 0)
        (void)kh_cgroup_remove(host->groups, box->id, NULL);
    return r;
}

void
kh_box_set_running(struct kh_host *host, struct kh_box *box)
{
    box->phase = KH_BOX_RUNNING;
    box->open = false;
    box->failures = 0;
    box->record.state = KH_SANDBOX_RUNNING;
    box->record.started = box->birth.started;
    memset(&box->last_usage, 0, sizeof(box->last_usage));
    host->running++;
    kh_metering_read(host, box, NULL);
}

static int
take_ids(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    box->zygote = kh_zygote_of(host, box->record.image_id);
    return box->zygote ? kh_zygote_hold(box->zygote, &box->slot, err)
                       : kh_host_take_slot(host, &box->slot, err);
}

void
kh_box_give_ids(struct kh_host *host, struct kh_box *box)
{
    if (box->zygote)
        kh_zygote_release(box->zygote, box->slot);
    else
        kh_host_give_slot(host, box->slot);
    box->zygote = NULL;
}

int
kh_box_begin(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    int r;

    if (box->phase == KH_BOX_RUNNING)
        return kh_fail(err, EALREADY, "sandbox '%s' is running", box->record.name);
    if (box->phase != KH_BOX_STOPPED)
        return kh_fail(err, EBUSY, "sandbox '%s' is on its way (hint: try again)",
                       box->record.name);
    if (box->still)
        return kh_fail(err, EBUSY,
                       "a snapshot of sandbox '%s' is being taken (hint: try again)",
                       box->record.name);
    kh_box_forget_kept(box);
    r = take_ids(host, box, err);
    if (r < 0)
        return r;
    r = launch(host, box, err);
    if (r < 0) {
        kh_box_give_ids(host, box);
        return kh_fail_in(err, "cannot start sandbox '%s'", box->record.name);
    }
    kh_box_set_running(host, box);
    return 0;
}

/* One that an earlier host started. What its birth claims was checked; the ids must
 * be free, too: two of one range could reach each other. */
static int
claim(struct kh_host *host, struct kh_box *box, struct kh_error *err)
{
    struct kh_birth *birth = &box->birth;
    int r = kh_store_load_birth(&host->store, box->record.id, birth, err);
    int pidfd;

    if (r < 0)
        return r;
    if (memcmp(birth->place, box->record.place, sizeof(birth->place)) != 0)
        return kh_fail(err, ESRCH, "it was rolled back");
    box->record.started = birth->started;
    pidfd = kh_birth_claim(birth, host->groups, box->id, err);
    if (pidfd < 0)
        return pidfd;
    r = kh_host_retake_slot(host, birth->slot, birth->id_first, err);
    if (r < 0) {
        (void)kh_sys_pidfd_signal(pidfd, SIGKILL);
        close(pidfd);
        return r;
    }
    box->slot = birth->slot;
    if (birth->zygote != KH_BIRTH_NO_ZYGOTE)
        box->zygote = kh_zygote_adopt(host, box->record.image_id, birth->zygote);
    r = kh_process_watch(&box->process, (pid_t)birth->pid, pidfd, kh_box_init_ended,
                         box, err);
    if (r < 0)
        kh_box_give_ids(host, box);
    return r;
}

void
kh_box_adopt(struct kh_host *host, const struct kh_record *record)
{
    struct kh_box *box;
    struct kh_error err = {0};
    int r;

    if (kh_box_find(host, record->name)) {
        kh_log(KH_LOG_ERROR, "two records have the name '%s', one is left alone",
               record->name);
        return;
    }
    box = kh_box_new(host, record);
    r = record->state == KH_SANDBOX_HIBERNATED ? kh_hibernate_adopt(box, &err)
                                               : claim(host, box, &err);
    if (r == 0 && box->phase == KH_BOX_HIBERNATED)
        return;
    if (r == 0) {
        kh_box_set_running(host, box);
        box->open = true;
        kh_box_enforce(host, box);
        return;
    }
    box->record.state = KH_SANDBOX_STOPPED;
    memset(&box->birth, 0, sizeof(box->birth)); /* nothing goes on under its number */
    if (r == -ENOENT && record->state != KH_SANDBOX_HIBERNATED)
        return;
    kh_log(r == -ESRCH ? KH_LOG_INFO : KH_LOG_ERROR, "sandbox is stopped name=%s: %s",
           record->name, err.text);
    if (kh_store_save(&host->store, &box->record, &err) == 0)
        kh_store_drop_birth(&host->store, record->id);
}
