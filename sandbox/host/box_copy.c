/* A new sandbox from a snapshot with memory: its processes are those that the snapshot
 * has. Until they run it has no record, and is none. */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "sandbox/host/box_own.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/snapshot.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/trash.h"
#include "sandbox/host/wake.h"

static int
check(struct kh_host *host, struct kh_record *record, struct kh_error *err)
{
    int r;

    if (kh_box_find(host, record->name))
        return kh_fail(err, EEXIST, "there is already a sandbox '%s'", record->name);
    r = kh_limits_check(&record->limits, err);
    return r < 0 ? r : kh_disk_check(host->store.disk, &record->limits.disk, err);
}

static int
prepare(struct kh_host *host, struct kh_box *box, const struct kh_snapshot *snapshot,
        struct kh_error *err)
{
    AUTO_FD int memory = kh_snapshot_open_memory(snapshot, &box->birth, err);
    int r = memory < 0 ? memory
                       : kh_store_prepare_from(&host->store, box->record.id,
                                               box->record.name, snapshot->id, err);

    return r < 0 ? r : kh_memory_share(&host->store, memory, box->place, err);
}

int
kh_box_copy(struct kh_host *host, const struct kh_record *wish,
            const struct kh_snapshot *snapshot,
            void (*done)(void *owner, const struct kh_error *err), void *owner,
            struct kh_box **ret_box, struct kh_error *err)
{
    struct kh_record record = *wish;
    struct kh_box *box;
    int r = check(host, &record, err);

    if (r < 0)
        return r;
    kh_random(record.id, sizeof(record.id));
    record.state = KH_SANDBOX_RUNNING;
    record.created = record.started = (uint64_t)time(NULL);
    box = kh_box_new(host, &record);
    box->fresh = true;
    r = prepare(host, box, snapshot, err);
    if (r == 0) {
        box->phase = KH_BOX_HIBERNATED;
        *ret_box = box;
        r = kh_wake_begin(box, done, owner, err);
    }
    if (r < 0)
        kh_box_discard(box);
    return r;
}

/* The kernel's generator begins anew as well: what a library keeps of it in the memory
 * that was copied (vgetrandom, of glibc 2.41) is then old to it. */
static void
reseed(const struct kh_box *box)
{
    AUTO_FD int urandom = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    if (urandom < 0 || ioctl(urandom, RNDRESEEDCRNG) < 0)
        kh_log(KH_LOG_WARN, "cannot reseed the kernel's random numbers name=%s",
               box->record.name);
}

void
kh_box_be_again(struct kh_box *box, int pidfd)
{
    reseed(box);
    (void)kh_sys_pidfd_signal(pidfd, SIGUSR2); /* init tells the runners */
}

void
kh_box_be_born(struct kh_box *box, int pidfd)
{
    reseed(box);
    (void)kh_sys_pidfd_signal(pidfd, SIGUSR1); /* init tells the runners */
    kh_random(&box->birth.boot, sizeof(box->birth.boot));
    box->birth.started = (uint64_t)time(NULL);
}

void
kh_box_discard(struct kh_box *box)
{
    struct kh_host *host = box->host;

    kh_memory_drop(&host->store, box->place);
    kh_metering_discard(host, box);
    (void)kh_store_discard(&host->store, &box->record, NULL);
    (void)kh_trash_delete(&host->store, box->id, NULL, NULL, NULL, NULL);
    kh_box_forget(host, box);
}
