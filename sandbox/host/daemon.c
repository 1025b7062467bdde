#include "sandbox/host/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "sandbox/host/box.h"
#include "sandbox/host/broker.h"
#include "sandbox/host/gateway.h"
#include "sandbox/host/host.h"
#include "sandbox/host/image.h"
#include "sandbox/host/renew.h"
#include "sandbox/host/spare.h"
#include "sandbox/host/wake.h"
#include "sandbox/host/zygote.h"

#define STOP_TIMEOUT_S 10
#define RETRY_S        5

struct daemon {
    struct kh_host host;
    struct kh_gateway gateway;
    struct kh_broker broker;
    struct kh_watch signals, requests;
    struct kh_renewal renewal;
    bool stopping;
    bool renewing; /* the gateway ends, then we execute the next program */
    bool resumed;  /* and are the next program */
    bool told_ready;
    int64_t retry_at; /* start the gateway then (CLOCK_MONOTONIC, s); 0: not */
};

static void
write_pid(const struct kh_store *store)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    struct kh_error err = {0};

    if (kh_fd_replace_file(store->run, "host.pid", text, (size_t)n, 0644, &err) < 0)
        kh_log(KH_LOG_WARN, "%s", err.text);
}

static int
block_signals(struct kh_error *err)
{
    struct sigaction hangup;
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR2);
    /* A terminal that closes ends us like Ctrl-C, unless nohup said otherwise. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return kh_fail_errno(err, "cannot block signals");
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? kh_fail_errno(err, "cannot make a signalfd") : fd;
}

static void gateway_ended(struct kh_process *process, int status);
static void requests_ready(struct kh_watch *watch, uint32_t events);

static int
start_gateway(struct daemon *d)
{
    struct kh_error err = {0};
    int r = kh_gateway_start(&d->gateway, &d->host.store, gateway_ended, d, &err);

    if (r == 0)
        r = kh_watch_add(&d->requests, d->gateway.broker, EPOLLIN, requests_ready, d,
                         &err);
    if (r < 0) {
        kh_log(KH_LOG_ERROR, "cannot start the gateway: %s", err.text);
        kh_process_kill(&d->gateway.process, SIGKILL);
        return r;
    }
    kh_broker_reset(&d->broker, &d->host, d->gateway.broker);
    return 0;
}

static void
cut_gateway(struct daemon *d)
{
    kh_watch_remove(&d->requests);
    kh_broker_release(&d->broker);
    kh_fd_close(&d->gateway.broker);
}

static void
end_gateway(struct daemon *d, const struct kh_error *err)
{
    bool left = err->code == EPIPE;

    if (!left)
        kh_log(KH_LOG_ERROR, "gateway ended for what it sent: %s", err->text);
    /* One that closes its socket because it was told to end is not told again: it
     * has let go of its signal handler, and would die before it is done. */
    if (!left || !d->stopping)
        kh_process_kill(&d->gateway.process, left ? SIGTERM : SIGKILL);
    cut_gateway(d);
}

/* For as long as answers wait, also for room for them. */
static void
watch_requests(struct daemon *d)
{
    kh_watch_change(&d->requests,
                    EPOLLIN | (kh_broker_waits(&d->broker) ? EPOLLOUT : 0));
}

static int64_t
seconds(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* A gateway that ends again and again is an outage of the gateway, not of the
 * sandboxes: it is tried for as long as it takes, but not without a pause. */
static void
retry_gateway(struct daemon *d)
{
    d->retry_at = start_gateway(d) < 0 ? seconds() + RETRY_S : 0;
}

static void
renewal_failed(struct daemon *d, const struct kh_error *err)
{
    kh_log(KH_LOG_ERROR, "kernelhostd goes on as it is: %s", err->text);
    kh_renewal_tell(&d->host.store, err);
}

static void
execute_anew(struct daemon *d)
{
    struct kh_error err = {0};

    kh_log(KH_LOG_INFO, "executing '%s' sandboxes=%u", d->renewal.program,
           d->host.running);
    (void)kh_renewal_exec(&d->renewal, &d->host.store, d->gateway.api, &err);
    d->renewing = false;
    renewal_failed(d, &err);
    retry_gateway(d);
}

/* The gateway is ended as a crash would end it: it can lose nothing by that, and what
 * it does when it is told to end is for the end of the host. */
static void
checked(struct kh_process *process, int status)
{
    struct daemon *d = process->owner;
    struct kh_error err = {0};

    if (d->stopping)
        return;
    if (status != 0) {
        kh_fail(&err, EPROTO, "'%s --check' failed (hint: its reason is in the log)",
                d->renewal.program);
        renewal_failed(d, &err);
        return;
    }
    d->renewing = true;
    if (d->gateway.process.pid)
        kh_process_kill(&d->gateway.process, SIGKILL);
    else
        execute_anew(d);
}

static void
begin_renewal(struct daemon *d)
{
    struct kh_error err = {0};

    if (d->stopping || d->renewing || d->renewal.check.pid)
        return;
    if (kh_renewal_begin(&d->renewal, &d->host.store, checked, d, &err) < 0)
        renewal_failed(d, &err);
}

static void
gateway_ended(struct kh_process *process, int status)
{
    struct daemon *d = process->owner;

    cut_gateway(d);
    if (d->stopping)
        return;
    if (d->renewing) {
        execute_anew(d);
        return;
    }
    kh_log(KH_LOG_ERROR, "the gateway ended status=0x%x, starting it again", status);
    retry_gateway(d);
}

static void
box_ended(struct kh_host *host, struct kh_box *box, int status,
          const struct kh_error *failed)
{
    struct daemon *d = host->owner;
    struct kh_error err = {0};

    if (box->spare) {
        kh_spares_ended(box);
        return;
    }
    kh_log(KH_LOG_INFO, "sandbox ended name=%s status=0x%x asked=%d removed=%d",
           box->record.name, status, box->waiter != 0, box->phase == KH_BOX_REMOVING);
    if (failed->code)
        kh_log(KH_LOG_ERROR, "%s", failed->text);
    if (d->gateway.broker >= 0 &&
        kh_broker_box_done(&d->broker, box, status, failed, &err) < 0)
        end_gateway(d, &err);
    else
        watch_requests(d);
}

/* TERM: the gateway first, so that clients are told, then the sandboxes. Their
 * disks and records stay. */
static void
begin_stop(struct daemon *d)
{
    size_t i;

    if (d->stopping)
        return;
    d->stopping = true;
    kh_log(KH_LOG_INFO, "stopping sandboxes=%u", d->host.running);
    kh_spares_close(&d->host);
    kh_wake_end_all(&d->host);
    kh_process_kill(&d->gateway.process, SIGTERM);
    for (i = 0; i < d->host.boxes.count; i++)
        kh_box_end(d->host.boxes.at[i]);
    alarm(STOP_TIMEOUT_S);
}

static void
signals_ready(struct kh_watch *watch, uint32_t events)
{
    struct signalfd_siginfo info;

    (void)events;
    while (read(watch->fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            kh_process_reap_others();
        else if (info.ssi_signo == SIGUSR2)
            begin_renewal(watch->owner);
        else
            begin_stop(watch->owner);
    }
}

static void
requests_ready(struct kh_watch *watch, uint32_t events)
{
    struct daemon *d = watch->owner;
    struct kh_error err = {0};
    int r = 0;

    if (events & EPOLLOUT)
        r = kh_broker_flush(&d->broker, &err);
    if (r == 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        r = kh_broker_serve(&d->broker, &err);
    if (r < 0) {
        end_gateway(d, &err);
        return;
    }
    watch_requests(d);
    if (!d->told_ready && d->broker.phase == KH_BROKER_READY) {
        d->told_ready = true;
        printf("kernelhostd: ready state=%s\n", d->host.store.path);
        fflush(stdout);
        if (d->resumed)
            kh_renewal_tell(&d->host.store, NULL);
    }
}

static void
run(struct daemon *d)
{
    while (!d->stopping || d->gateway.process.pid || d->host.running ||
           d->host.waking) {
        if (kh_watch_wait(d->retry_at ? 1000 : -1) < 0)
            return;
        if (d->retry_at && !d->stopping && seconds() >= d->retry_at)
            retry_gateway(d);
    }
}

/* Their limits together may be more than there is. */
static void
bound_sandboxes(struct kh_host *host)
{
    uint64_t reserve = host->admission.reserve;
    struct kh_error err = {0};
    struct kh_room room;
    int r = kh_room_read(&room, &err);

    if (r == 0 && !reserve)
        reserve = kh_room_reserve(room.memory_total);
    if (r == 0 && reserve < room.memory_total)
        r = kh_cgroups_bound(host->groups, room.memory_total - reserve, &err);
    if (r < 0)
        kh_log(KH_LOG_WARN, "all sandboxes together have no memory limit: %s",
               err.text);
}

/* The image that is asked for if none is named. */
static void
warm_up(struct kh_host *host)
{
    char id[KH_ID_TEXT];

    if (kh_image_find(&host->store, "default", id, NULL) == 0)
        (void)kh_zygote_of(host, id);
}

/* A host without it is a host all the same: its sandboxes freeze and no more. What
 * CRIU has made becomes our child when CRIU ends. */
static void
find_criu(struct kh_host *host, const char *dir)
{
    struct kh_error err = {0};

    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        kh_log(KH_LOG_WARN, "cannot become a reaper");
    if (kh_criu_find(dir, KH_LIBEXECDIR "/kernelhost-hook", &host->criu, &err) < 0)
        kh_log(KH_LOG_WARN, "sandboxes cannot hibernate: %s", err.text);
}

static int
open_all(struct daemon *d, const struct kh_daemon_options *options,
         const struct kh_inherited *inherited, struct kh_error *err)
{
    int signals = block_signals(err), r;

    r = signals < 0 ? signals : kh_watch_open(err);
    if (r == 0)
        r = kh_watch_add(&d->signals, signals, EPOLLIN, signals_ready, d, err);
    if (r == 0)
        r = kh_host_open(options->state, options->kit, options->id_base,
                         inherited->lock, &d->host, err);
    if (r == 0)
        r = kh_zygote_configure(&d->host, options->preload, err);
    if (r == 0)
        r = kh_spares_open(&d->host, options->spares, err);
    if (r == 0)
        r = kh_snapshots_open(&d->host, options->snapshots, err);
    if (r < 0)
        return r;
    d->host.admission = options->admission;
    find_criu(&d->host, options->criu);
    bound_sandboxes(&d->host);
    d->host.box_ended = box_ended;
    d->host.owner = d;
    d->renewal.argv = options->argv;
    d->resumed = options->resume;
    /* What the earlier program began, and what taking over has ended. */
    kh_process_reap_others();
    return 0;
}

int
kh_daemon_serve(const struct kh_daemon_options *options)
{
    static struct daemon d;
    struct kh_inherited inherited;
    struct kh_error err = {0};
    struct rlimit files;
    int r;

    d.broker.sock = d.gateway.broker = d.gateway.api = -1;
    umask(022);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    r = kh_inherited_take(options->resume, &inherited, &err);
    if (r == 0)
        r = open_all(&d, options, &inherited, &err);
    if (r < 0) {
        kh_log(KH_LOG_ERROR, "%s", err.text);
        return 1;
    }
    write_pid(&d.host.store);
    warm_up(&d.host);
    r = kh_gateway_open(&d.gateway, &d.host.store, options->gateway, inherited.api,
                        &err);
    if (r < 0)
        kh_log(KH_LOG_ERROR, "%s", err.text);
    else if (start_gateway(&d) == 0)
        run(&d);
    (void)unlinkat(d.host.store.run, "host.pid", 0);
    (void)unlinkat(d.host.store.run, "renewal", 0);
    kh_gateway_close(&d.gateway, &d.host.store);
    if (!d.host.running)
        kh_gateway_forget(&d.host.store);
    kh_broker_release(&d.broker);
    kh_host_close(&d.host);
    free(d.renewal.program);
    kh_log(KH_LOG_INFO, "stopped");
    return r < 0 || !d.stopping;
}
