/* What is done inside a sandbox that CRIU is making, and what is looked at. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/host/box_own.h"
#include "sandbox/host/helper.h"
#include "sandbox/host/netns.h"
#include "sandbox/host/posture.h"
#include "sandbox/host/rootfs.h"
#include "sandbox/host/wake_own.h"

static int
network(const void *arg, struct kh_error *err)
{
    const struct kh_wake *wake = arg;

    if (setns(wake->pidfd, CLONE_NEWNET) < 0)
        return kh_fail_errno(err, "cannot enter the network namespace");
    return kh_netns_up(err);
}

/* Before any socket is made: who listened on an address needs it to be there. */
int
kh_wake_namespaces(struct kh_wake *wake, struct kh_error *err)
{
    return kh_helper_run(network, wake, "network", err);
}

/* The limits are those of the opener's user namespace. */
static int
counts_and_name(const void *arg, struct kh_error *err)
{
    const struct kh_wake *wake = arg;
    const char *name = wake->plan->name;

    if (setns(wake->pidfd, CLONE_NEWUTS) < 0 || sethostname(name, strlen(name)) < 0 ||
        setdomainname("", 0) < 0)
        return kh_fail_errno(err, "cannot set the host name");
    if (setns(wake->pidfd, CLONE_NEWUSER) < 0)
        return kh_fail_errno(err, "cannot enter the user namespace");
    return kh_privs_counts(err);
}

/* Freezing takes hold as CRIU lets go of them. */
static int
freeze(struct kh_wake *wake, struct kh_error *err)
{
    struct kh_cgroups *groups = wake->box->host->groups;
    AUTO_FREE pid_t *pids = NULL;
    size_t count = 0, i;
    long last;
    int ours = kh_birth_levels(getpid(), &last, err);
    int r = ours < 0 ? ours : kh_cgroup_list(groups, wake->box->id, &pids, &count, err);

    /* Who is in a pid namespace below ours is the sandbox's, any other is CRIU's. */
    for (i = 0; r == 0 && i < count; i++)
        if (kh_birth_levels(pids[i], &last, NULL) == ours)
            r = kh_cgroup_put_aside(groups, pids[i], err);
    return r < 0 ? r : kh_cgroup_freeze(groups, wake->box->id, true, err);
}

int
kh_wake_put_back(struct kh_wake *wake, struct kh_error *err)
{
    struct kh_box *box = wake->box;
    int r = freeze(wake, err);

    if (r == 0)
        r = kh_posture_check_all(box->host->groups, box->id, wake->plan->id_first,
                                 wake->pid, err);
    if (r == 0)
        r = kh_helper_run(counts_and_name, wake, "put back what CRIU drops", err);
    return r < 0 ? r : kh_rootfs_replace_proc(wake->plan, wake->pid, wake->pidfd, err);
}
