/* A sandbox stands still, with its memory, or goes on. */
#include <errno.h>

#include "sandbox/host/box_own.h"
#include "sandbox/host/hibernate.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/metering.h"

#define FREEZE_MS 500

void
kh_box_forget_kept(struct kh_box *box)
{
    if (box->kept)
        kh_memory_drop(&box->host->store, box->place);
    box->kept = false;
}

int
kh_box_freeze(struct kh_box *box, bool freeze, struct kh_error *err)
{
    struct kh_cgroups *groups = box->host->groups;
    int r;

    if (box->phase != KH_BOX_RUNNING)
        return kh_fail(err, ENOTCONN, "sandbox '%s' is not running", box->record.name);
    r = freeze || !box->still ? kh_cgroup_freeze(groups, box->id, freeze, err) : 0;
    if (r == 0 && freeze) {
        r = kh_cgroup_await_frozen(groups, box->id, FREEZE_MS, err);
        if (r < 0 && !box->still)
            (void)kh_cgroup_freeze(groups, box->id, false, NULL);
    }
    if (r < 0)
        return kh_fail_in(err, "sandbox '%s'", box->record.name);
    box->frozen = freeze;
    if (!freeze && !box->still)
        kh_box_forget_kept(box);
    kh_metering_settle(box->host, box);
    return 0;
}
