#include "sandbox/host/rollback.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/box_own.h"
#include "sandbox/host/hibernate.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/weigh.h"

struct kh_rollback {
    char from[KH_ID_TEXT]; /* the place that goes */
    void (*done)(void *owner);
    void *owner;
};

/* ---- what may be ---- */

/* The gateway names both; that they belong together is found here. */
static int
check_origin(const struct kh_box *box, const struct kh_snapshot *snapshot,
             struct kh_error *err)
{
    const char *name = snapshot->record.name;

    if (snapshot->record.flags & KH_SNAPSHOT_TEMPORARY)
        return kh_fail(err, ENOENT, "there is no snapshot '%s'", name);
    if (memcmp(snapshot->record.box, box->record.id, KH_ID_SIZE) != 0 ||
        strcmp(snapshot->record.image_id, box->record.image_id) != 0)
        return kh_fail(err, EINVAL,
                       "snapshot '%s' is not of this sandbox '%s' (hint: kernelhost "
                       "create --from %s makes a new one of it)",
                       name, box->record.name, name);
    return 0;
}

static int
check_phase(const struct kh_box *box, struct kh_error *err)
{
    if ((box->phase != KH_BOX_RUNNING && box->phase != KH_BOX_STOPPED &&
         box->phase != KH_BOX_HIBERNATED) ||
        box->joins || box->still)
        return kh_fail(err, EBUSY, "sandbox '%s' is on its way (hint: try again)",
                       box->record.name);
    return 0;
}

static int
check_room(const struct kh_box *box, const struct kh_snapshot *snapshot,
           struct kh_error *err)
{
    const struct kh_snapshot_record *record = &snapshot->record;

    if (box->record.limits.disk && record->held > box->record.limits.disk)
        return kh_fail(err, EINVAL,
                       "snapshot '%s' holds %" PRIu64 " bytes, more than the disk of "
                       "'%s' may (hint: kernelhost limits %s --disk)",
                       record->name, record->held, box->record.name, box->record.name);
    if (record->flags & KH_SNAPSHOT_MEMORY && !box->host->criu.program[0])
        return kh_fail(err, ENOTSUP,
                       "this host has no criu to wake sandbox '%s' with (hint: "
                       "kernelhost doctor)",
                       box->record.name);
    return 0;
}

/* ---- the new place ---- */

/* What is restored of it is another start of that init: positions in its journal mean
 * something else from now on. */
static int
put_memory(struct kh_box *box, const struct kh_snapshot *snapshot,
           const struct kh_record *record, const char *place, struct kh_error *err)
{
    char command[32 + KH_NAME_SIZE];
    unsigned char bytes[KH_BIRTH_SIZE];
    struct kh_weight weight = {0};
    struct kh_birth birth;
    AUTO_FD int from = kh_snapshot_open_memory(snapshot, &birth, err);
    AUTO_FD int to = -1;
    int r = from < 0 ? from : kh_birth_fits(&birth, err);

    if (r < 0)
        return r;
    weight.memory = kh_memory_pages(from);
    snprintf(command, sizeof(command), "kernelhost limits %s", box->record.name);
    r = kh_weight_fits(&weight, box->record.limits.memory, command, err);
    if (r == 0)
        r = kh_memory_share(&box->host->store, from, place, err);
    if (r < 0)
        return r;
    to = kh_memory_open(&box->host->store, place, NULL, NULL, NULL, err);
    if (to < 0)
        return to;
    kh_random(&birth.boot, sizeof(birth.boot));
    birth.again = 1;
    memcpy(birth.place, record->place, sizeof(birth.place));
    (void)kh_birth_encode(&birth, bytes, sizeof(bytes));
    return kh_fd_replace_file(to, KH_BIRTH_FILE, bytes, sizeof(bytes), 0600, err);
}

static int
make_place(struct kh_box *box, const struct kh_snapshot *snapshot,
           const struct kh_record *record, const char *place, struct kh_error *err)
{
    struct kh_disk *disk = box->host->store.disk;
    int r = kh_fault("rollback-begun", err);

    if (r == 0)
        r = kh_disk_copy(disk, snapshot->id, place, false, err);
    if (r == 0 && record->limits.disk)
        r = kh_disk_limit(disk, place, record->limits.disk, err);
    if (r == 0)
        r = kh_fault("rollback-cloned", err);
    if (r == 0 && record->state == KH_SANDBOX_HIBERNATED)
        r = put_memory(box, snapshot, record, place, err);
    return r < 0 ? r : kh_fault("rollback-made", err);
}

static void
drop_place(struct kh_host *host, const char *place)
{
    struct kh_error err = {0};

    kh_memory_drop(&host->store, place);
    if (kh_disk_drop(host->store.disk, place, &err) < 0) /* swept at the next start */
        kh_log(KH_LOG_WARN, "%s", err.text);
}

/* ---- the record decides ---- */

/* A record that could not be written may be there all the same: what it is about stays
 * until the other one is. */
static int
commit(struct kh_box *box, const struct kh_record *record, const char *place,
       struct kh_error *err)
{
    struct kh_host *host = box->host;
    int r = kh_store_save(&host->store, record, err);

    if (r < 0) {
        if (kh_store_save(&host->store, &box->record, NULL) == 0)
            drop_place(host, place);
        return r;
    }
    (void)kh_fault("rollback-recorded", NULL);
    kh_box_forget_kept(box);
    kh_store_drop_birth(&host->store, record->id);
    box->record = *record;
    memcpy(box->place, place, sizeof(box->place));
    return 0;
}

static void
conclude(struct kh_box *box)
{
    struct kh_rollback *rollback = box->rollback;
    struct kh_host *host = box->host;
    void (*done)(void *) = rollback->done;
    void *owner = rollback->owner;
    AUTO_FD int dir = -1;

    box->rollback = NULL;
    box->frozen = false;
    box->saved = 0;
    box->problem[0] = '\0';
    box->phase = KH_BOX_STOPPED;
    if (box->record.state == KH_SANDBOX_HIBERNATED) {
        box->phase = KH_BOX_HIBERNATED;
        dir = kh_memory_open(&host->store, box->place, NULL, &box->birth, &box->saved,
                             NULL);
    }
    drop_place(host, rollback->from);
    (void)kh_fault("rollback-dropped", NULL);
    free(rollback);
    box->disk_at = 0; /* it is another one */
    kh_metering_settle(host, box);
    kh_log(KH_LOG_INFO, "sandbox rolled back name=%s place=%s", box->record.name,
           box->place);
    done(owner);
}

bool
kh_rollback_ended(struct kh_box *box)
{
    if (!box->rollback)
        return false;
    conclude(box);
    return true;
}

static void
end_processes(struct kh_box *box)
{
    struct kh_host *host = box->host;

    kh_cgroup_usage(host->groups, box->id, &box->last_usage);
    box->phase = KH_BOX_STOPPING;
    kh_cgroup_kill(host->groups, box->id);
    kh_process_kill(&box->process, SIGKILL);
}

static int
check(const struct kh_box *box, const struct kh_snapshot *snapshot,
      struct kh_error *err)
{
    int r = check_origin(box, snapshot, err);

    if (r == 0)
        r = check_phase(box, err);
    return r < 0 ? r : check_room(box, snapshot, err);
}

int
kh_rollback_begin(struct kh_box *box, const struct kh_snapshot *snapshot,
                  void (*done)(void *owner), void *owner, struct kh_error *err)
{
    struct kh_record record = box->record;
    char place[KH_ID_TEXT], from[KH_ID_TEXT];
    int r = check(box, snapshot, err);

    if (r < 0)
        return r;
    memcpy(from, box->place, sizeof(from));
    kh_random(record.place, sizeof(record.place));
    kh_record_place(&record, place);
    record.state = snapshot->record.flags & KH_SNAPSHOT_MEMORY ? KH_SANDBOX_HIBERNATED
                                                               : KH_SANDBOX_STOPPED;
    r = make_place(box, snapshot, &record, place, err);
    if (r < 0)
        drop_place(box->host, place);
    else
        r = commit(box, &record, place, err);
    if (r < 0)
        return kh_fail_in(err, "sandbox '%s' cannot be rolled back", box->record.name);
    box->rollback = kh_xcalloc(1, sizeof(*box->rollback));
    *box->rollback = (struct kh_rollback){.done = done, .owner = owner};
    memcpy(box->rollback->from, from, sizeof(from));
    if (box->phase == KH_BOX_RUNNING)
        end_processes(box);
    else
        conclude(box);
    return 0;
}
