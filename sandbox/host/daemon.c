#include "sandbox/host/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "sandbox/host/box.h"
#include "sandbox/host/broker.h"
#include "sandbox/host/gateway.h"
#include "sandbox/host/host.h"

#define STOP_TIMEOUT_S 10
#define RETRY_S        5

struct daemon {
    struct kh_host host;
    struct kh_gateway gateway;
    struct kh_broker broker;
    struct kh_watch signals, requests;
    bool stopping;
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
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
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
    if (err->code != EPIPE)
        kh_log(KH_LOG_ERROR, "gateway ended for what it sent: %s", err->text);
    kh_process_kill(&d->gateway.process, err->code != EPIPE ? SIGKILL : SIGTERM);
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
gateway_ended(struct kh_process *process, int status)
{
    struct daemon *d = process->owner;

    cut_gateway(d);
    if (d->stopping)
        return;
    kh_log(KH_LOG_ERROR, "the gateway ended status=0x%x, starting it again", status);
    retry_gateway(d);
}

static void
box_ended(struct kh_host *host, struct kh_box *box, int status,
          const struct kh_error *failed)
{
    struct daemon *d = host->owner;
    struct kh_error err = {0};

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
    kh_process_kill(&d->gateway.process, SIGTERM);
    for (i = 0; i < d->host.boxes.count; i++)
        if (d->host.boxes.at[i]->phase == KH_BOX_RUNNING)
            (void)kh_box_stop(&d->host, d->host.boxes.at[i], false, NULL);
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
    }
}

static void
run(struct daemon *d)
{
    while (!d->stopping || d->gateway.process.pid || d->host.running) {
        if (kh_watch_wait(d->retry_at ? 1000 : -1) < 0)
            return;
        if (d->retry_at && !d->stopping && seconds() >= d->retry_at)
            retry_gateway(d);
    }
}

/* Whoever starts it may have left descriptors open, or 0, 1 or 2 closed: neither
 * may reach a sandbox, and no log line may land in a file of ours. */
static void
clean_descriptors(void)
{
    int fd;

    syscall(SYS_close_range, 3, ~0u, 0);
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < 3);
    if (fd >= 0)
        close(fd);
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

int
kh_daemon_serve(const char *state, const char *kit, const char *gateway,
                uint32_t id_base, const struct kh_admission *admission)
{
    static struct daemon d;
    struct kh_error err = {0};
    struct rlimit files;
    int signals, r;

    d.broker.sock = d.gateway.broker = d.gateway.api = -1;
    umask(022);
    clean_descriptors();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    signals = block_signals(&err);
    r = signals < 0 ? signals : kh_watch_open(&err);
    if (r == 0)
        r = kh_watch_add(&d.signals, signals, EPOLLIN, signals_ready, &d, &err);
    if (r == 0)
        r = kh_host_open(state, kit, id_base, &d.host, &err);
    if (r < 0) {
        kh_log(KH_LOG_ERROR, "%s", err.text);
        return 1;
    }
    d.host.admission = *admission;
    bound_sandboxes(&d.host);
    d.host.box_ended = box_ended;
    d.host.owner = &d;
    write_pid(&d.host.store);
    r = kh_gateway_open(&d.gateway, &d.host.store, gateway, &err);
    if (r < 0)
        kh_log(KH_LOG_ERROR, "%s", err.text);
    else if (start_gateway(&d) == 0)
        run(&d);
    (void)unlinkat(d.host.store.run, "host.pid", 0);
    kh_gateway_close(&d.gateway, &d.host.store);
    kh_broker_release(&d.broker);
    kh_host_close(&d.host);
    kh_log(KH_LOG_INFO, "stopped");
    return r < 0 || !d.stopping;
}
