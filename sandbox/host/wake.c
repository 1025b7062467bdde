#include "sandbox/host/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/host/box_own.h"
#include "sandbox/host/hook.h"
#include "sandbox/host/hibernate.h"
#include "sandbox/host/memory.h"
#include "sandbox/host/metering.h"
#include "sandbox/host/rootfs.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/wake_own.h"
#include "sandbox/host/weigh.h"

#define FREEZE_MS  1000
#define END_MS     5000
#define WAKE_LOG   "wake.log"
#define CRIU_PIDS  64 /* processes and threads it has in the group meanwhile */
#define ROOT_BELOW "/root"
#define DEV_BELOW  "/dev"

/* ---- the child that becomes CRIU ---- */

/* Where the new root is put together, in a mount namespace of its own: CRIU's processes
 * reach it as root of the sandbox, to whom the state directory may be closed. It hides
 * nothing that CRIU needs. */
static const char *
stage_of(const struct kh_wake *wake)
{
    static const char *const places[] = {"/media", "/srv", "/opt", "/mnt", "/run"};
    const struct kh_host *host = wake->box->host;
    const char *const needed[] = {host->store.path, host->criu.program,
                                  host->criu.hook};
    size_t i, j;

    for (i = 0; i < KH_COUNT(places); i++) {
        size_t length = strlen(places[i]);
        struct stat st;
        bool free = stat(places[i], &st) == 0 && S_ISDIR(st.st_mode);

        for (j = 0; j < KH_COUNT(needed); j++)
            if (!strncmp(needed[j], places[i], length) &&
                (needed[j][length] == '/' || !needed[j][length]))
                free = false;
        if (free)
            return places[i];
    }
    return wake->plan->mount_point;
}

static void __attribute__((noreturn)) restore(const struct kh_wake *wake, int talk)
{
    const struct kh_plan *plan = wake->plan;
    char root[PATH_MAX], dev[PATH_MAX + 16];
    const char *const args[] = {"restore",
                                "--restore-detached",
                                "--root",
                                root,
                                "--external",
                                dev,
                                "--action-script",
                                wake->box->host->criu.hook,
                                "--manage-cgroups=ignore",
                                "--network-lock",
                                "skip",
                                "--empty-ns",
                                "net",
                                "--tcp-established",
                                "--file-locks",
                                "--log-file",
                                WAKE_LOG,
                                "-v1",
                                NULL};
    const char *place = stage_of(wake);
    struct kh_error err = {0};
    AUTO_FD int userns = -1;
    char byte = 0;

    snprintf(root, sizeof(root), "%s" ROOT_BELOW, place);
    snprintf(dev, sizeof(dev), "mnt[dev]:%s" DEV_BELOW, place);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    /* The cgroup namespace has its root where we are when it is made. */
    if (kh_fd_read_full(talk, &byte, 1) < 0 || byte != 'G')
        _exit(1);
    if (unshare(CLONE_NEWCGROUP) < 0 || kh_privs_fresh_keyring(&err) < 0)
        _exit(2);
    userns = kh_idmap_hold(plan->id_first, &err);
    if (userns >= 0 && kh_rootfs_stage(plan, userns, place, &err) == 0) {
        kh_criu_remember(&wake->box->host->criu, wake->path);
        (void)kh_criu_exec(&wake->box->host->criu, 0, wake->path, args, talk, &err);
    }
    (void)send(talk, &err, sizeof(err), MSG_NOSIGNAL);
    _exit(3);
}

/* ---- kernelhostd ---- */

static void
release(struct kh_wake *wake)
{
    kh_watch_remove(&wake->watch);
    kh_watch_remove(&wake->clock);
    kh_fd_close(&wake->talk);
    kh_fd_close(&wake->timer);
    kh_fd_close(&wake->dir);
    kh_fd_close(&wake->pidfd);
    kh_process_forget(&wake->criu);
    kh_plan_free(wake->plan);
    free(wake);
}

void
kh_wake_done(struct kh_wake *wake, const struct kh_error *err)
{
    struct kh_box *box = wake->box;
    struct kh_host *host = box->host;
    void (*done)(void *, const struct kh_error *) = wake->done;
    void *owner = wake->owner;

    host->waking--;
    kh_cgroup_clear_aside(host->groups);
    box->wake = NULL;
    release(wake);
    done(owner, err);
    if (box->fresh)
        kh_box_discard(box);
    else
        kh_box_catch_up(box);
    kh_wake_pump(host);
}

static void
wait_for_end(int pidfd)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};

    if (pidfd >= 0)
        (void)poll(&poller, 1, END_MS);
}

/* Whatever was made of it is ended; the memory is as it was. */
static void
undo(struct kh_wake *wake, struct kh_error *err)
{
    struct kh_box *box = wake->box;
    char reason[300] = "";

    kh_criu_reason(wake->dir, WAKE_LOG, reason, sizeof(reason));
    if (reason[0])
        kh_fail_in(err, "%s", reason);
    kh_fail_in(err, "sandbox '%s' cannot wake", box->record.name);
    kh_log(KH_LOG_ERROR, "%s", err->text);
    kh_process_kill(&wake->criu, SIGKILL);
    kh_cgroup_kill(box->host->groups, box->id);
    wait_for_end(wake->pidfd);
    kh_process_reap(&wake->criu);
    kh_process_reap_others();
    (void)kh_cgroup_remove(box->host->groups, box->id, NULL);
    kh_box_give_ids(box->host, box);
    box->phase = KH_BOX_HIBERNATED;
    snprintf(box->problem, sizeof(box->problem), "%.*s", (int)sizeof(box->problem) - 1,
             err->text);
    kh_wake_done(wake, err);
}

/* The record first: should we end here, the next host finds it frozen and running,
 * and its memory void. */
static int
finish(struct kh_wake *wake, struct kh_error *err)
{
    struct kh_box *box = wake->box;
    struct kh_host *host = box->host;
    struct kh_error thaw;
    int r = kh_fault("wake-restored", err);

    if (r == 0)
        r = kh_cgroup_await_frozen(host->groups, box->id, FREEZE_MS, err);

    if (r == 0)
        r = kh_birth_note(&box->birth, wake->pid, err);
    box->birth.pid = (uint32_t)wake->pid;
    if (box->fresh)
        kh_box_be_born(box, wake->pidfd);
    else if (box->birth.again)
        kh_box_be_again(box, wake->pidfd);
    box->birth.again = 0;
    box->birth.slot = box->slot;
    box->birth.id_first = wake->plan->id_first;
    box->birth.zygote = KH_BIRTH_NO_ZYGOTE;
    memcpy(box->birth.place, box->record.place, sizeof(box->birth.place));
    if (r == 0)
        r = kh_store_save_birth(&host->store, box->record.id, &box->birth, err);
    if (r == 0)
        r = kh_fault("wake-born", err);
    if (r == 0)
        r = kh_process_watch(&box->process, wake->pid, STEAL_FD(wake->pidfd),
                             kh_box_init_ended, box, err);
    if (r < 0)
        return r;
    kh_metering_skip(host, box); /* what CRIU has used in the new group */
    box->record.state = KH_SANDBOX_RUNNING;
    r = kh_cgroup_limit(host->groups, box->id, &box->record.limits, err);
    if (r == 0)
        r = box->fresh ? kh_store_create(&host->store, &box->record, err)
                       : kh_store_save(&host->store, &box->record, err);
    if (r < 0) {
        box->record.state = KH_SANDBOX_HIBERNATED;
        kh_process_kill(&box->process, SIGKILL);
        kh_process_reap(&box->process);
        kh_store_drop_birth(&host->store, box->record.id);
        return r;
    }
    (void)kh_fault("wake-recorded", NULL);
    kh_memory_drop(&host->store, box->place);
    (void)kh_fault("wake-dropped", NULL);
    kh_box_set_running(host, box);
    box->fresh = false;
    box->open = true;
    box->saved = 0;
    box->problem[0] = '\0';
    if (kh_box_freeze(box, false, &thaw) < 0) { /* whoever wakes it tries again */
        kh_log(KH_LOG_ERROR, "cannot thaw name=%s: %s", box->record.name, thaw.text);
        box->frozen = true;
    }
    return 0;
}

/* The process that the hook names, if it is one of this sandbox's. */
static int
take_first(struct kh_wake *wake, pid_t pid, struct kh_error *err)
{
    AUTO_FD int pidfd = pid > 1 ? kh_sys_pidfd_open(pid) : -1;

    if (pidfd < 0 || !kh_cgroup_holds(wake->box->host->groups, wake->box->id, pid))
        return kh_fail(err, EPERM, "process %d is not of the sandbox", (int)pid);
    if (wake->pidfd < 0) {
        wake->pidfd = STEAL_FD(pidfd);
        wake->pid = pid;
    }
    return wake->pid == pid ? 0 : kh_fail(err, EPERM, "there are two first processes");
}

static int
heed(struct kh_wake *wake, const struct kh_hook_message *message, struct kh_error *err)
{
    int r = take_first(wake, message->pid, err);

    if (r < 0)
        return r;
    switch (message->stage) {
    case KH_HOOK_NAMESPACES:
        r = kh_fault("wake-namespaces", err);
        return r < 0 ? r : kh_wake_namespaces(wake, err);
    case KH_HOOK_READY:
        r = kh_fault("wake-ready", err);
        if (r == 0)
            r = kh_wake_put_back(wake, err);
        wake->ready = r == 0;
        return r;
    default:
        return kh_fail(err, EPROTO, "the hook says what nobody knows");
    }
}

static void
talk_ready(struct kh_watch *watch, uint32_t events)
{
    struct kh_wake *wake = watch->owner;
    union {
        struct kh_hook_message hook;
        struct kh_error error;
    } message = {.hook = {0}};
    struct kh_error err = {0};
    ssize_t n = kh_fd_recv(wake->talk, &message, sizeof(message), NULL);
    int r;

    (void)events;
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        kh_watch_remove(&wake->watch); /* criu_ended says the rest */
        return;
    }
    if (n == sizeof(message.error)) {
        wake->failed = message.error;
        wake->failed.text[sizeof(wake->failed.text) - 1] = '\0';
        return;
    }
    r = n == sizeof(message.hook) ? heed(wake, &message.hook, &err)
                                  : kh_fail(&err, EPROTO, "a wrong word");
    if (r < 0)
        wake->failed = err;
    (void)send(wake->talk, r < 0 ? "N" : "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
criu_ended(struct kh_process *process, int status)
{
    static const struct kh_error none;
    struct kh_wake *wake = process->owner;
    struct kh_error err = {0};
    int r;

    if (wake->watch.fd == wake->talk && !wake->ready)
        talk_ready(&wake->watch, EPOLLIN); /* its last word may be unread */
    if (status == 0 && wake->ready)
        r = finish(wake, &err);
    else
        r = wake->failed.code
                ? (err = wake->failed, -wake->failed.code)
                : kh_fail(&err, EIO, "criu failed, status 0x%x", (unsigned)status);
    if (r < 0)
        undo(wake, &err);
    else
        kh_wake_done(wake, &none);
}

static void
time_is_over(struct kh_watch *watch, uint32_t events)
{
    struct kh_wake *wake = watch->owner;

    (void)events;
    kh_fail(&wake->failed, ETIMEDOUT, "it took more than %d s",
            KH_WAKE_TIMEOUT_MS / 1000);
    kh_watch_remove(&wake->clock);
    kh_process_kill(&wake->criu, SIGKILL);
}

static int
watch(struct kh_wake *wake, struct kh_error *err)
{
    struct itimerspec when = {.it_value = {KH_WAKE_TIMEOUT_MS / 1000, 0}};
    int r = kh_watch_add(&wake->watch, wake->talk, EPOLLIN, talk_ready, wake, err);

    wake->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (wake->timer < 0 || timerfd_settime(wake->timer, 0, &when, NULL) < 0)
        return kh_fail_errno(err, "cannot make a timer");
    return r < 0 ? r
                 : kh_watch_add(&wake->clock, wake->timer, EPOLLIN, time_is_over, wake,
                                err);
}

static int
launch(struct kh_wake *wake, struct kh_error *err)
{
    struct kh_cgroups *groups = wake->box->host->groups;
    const char *id = wake->box->id;
    AUTO_FD int birth = kh_cgroup_birth(groups, id);
    int pair[2], pidfd = -1, r;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return kh_fail_errno(err, "cannot make a socket pair");
    wake->talk = pair[0];
    kh_fd_refuse_fds(pair[0]);
    (void)kh_fd_nonblock(pair[0], true);
    pid = kh_sys_clone(0, birth, &pidfd);
    if (pid == 0)
        restore(wake, pair[1]);
    close(pair[1]);
    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    r = kh_process_watch(&wake->criu, pid, pidfd, criu_ended, wake, err);
    if (r == 0)
        r = kh_cgroup_add(groups, id, pid, err);
    if (r == 0)
        r = watch(wake, err);
    if (r == 0 && send(wake->talk, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        r = kh_fail_errno(err, "the child is gone");
    return r;
}

/* What is made of a snapshot may have a limit of its own. */
static int
check_limit(const struct kh_box *box, int dir, struct kh_error *err)
{
    struct kh_weight weight = {.memory = kh_memory_pages(dir)};

    return kh_weight_fits(&weight, box->record.limits.memory, "kernelhost create", err);
}

static int
prepare(struct kh_wake *wake, struct kh_error *err)
{
    struct kh_limits roomy;
    struct kh_box *box = wake->box;
    struct kh_host *host = box->host;
    int r;

    wake->dir = kh_memory_open(&host->store, box->place, wake->path, &box->birth,
                               &box->saved, err);
    r = wake->dir < 0 ? wake->dir : kh_birth_fits(&box->birth, err);
    if (r == 0)
        r = kh_memory_check(wake->dir, err);
    if (r == 0 && box->fresh)
        r = check_limit(box, wake->dir, err);
    if (r == 0)
        r = kh_box_plan(host, box, &wake->plan, err);
    if (r == 0)
        r = kh_memory_map(wake->dir, wake->plan->id_first, err);
    roomy = box->record.limits;
    roomy.pids += CRIU_PIDS;
    if (r == 0)
        r = kh_cgroup_create(host->groups, box->id, &roomy, err);
    return r < 0 ? r : kh_fault("wake-prepared", err);
}

void
kh_wake_start(struct kh_wake *wake)
{
    struct kh_box *box = wake->box;
    struct kh_error err = {0};
    int r;

    box->host->waking++;
    box->zygote = NULL;
    r = kh_host_take_slot(box->host, &box->slot, &err);
    if (r < 0) {
        box->phase = KH_BOX_HIBERNATED;
        kh_wake_done(wake, &err);
        return;
    }
    r = prepare(wake, &err);
    if (r == 0)
        r = launch(wake, &err);
    if (r < 0)
        undo(wake, &err);
}
