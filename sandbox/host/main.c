/* kernelhostd: the privileged process. One thread, poll and signalfd; no network
 * byte, no JSON, no ZeroMQ ever reaches it. See doc/architecture.md. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "sandbox/host/broker.h"
#include "sandbox/host/gateway.h"
#include "sandbox/host/host.h"

#define STOP_TIMEOUT_S 10
#define RETRY_S        5

struct daemon {
    struct kh_host host;
    struct kh_gateway gateway;
    struct kh_broker broker;
    int signals;
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

static int
start_gateway(struct daemon *d)
{
    struct kh_error err = {0};
    int r = kh_gateway_start(&d->gateway, &d->host.store, &err);

    if (r < 0) {
        kh_log(KH_LOG_ERROR, "cannot start the gateway: %s", err.text);
        return r;
    }
    kh_broker_reset(&d->broker, &d->host, d->gateway.broker);
    return 0;
}

static void
end_gateway(struct daemon *d, const struct kh_error *err)
{
    if (err && err->code != EPIPE)
        kh_log(KH_LOG_ERROR, "gateway ended for what it sent: %s", err->text);
    if (d->gateway.pid > 0)
        kill(d->gateway.pid, err && err->code != EPIPE ? SIGKILL : SIGTERM);
    kh_broker_release(&d->broker);
    kh_fd_close(&d->gateway.broker);
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
gateway_ended(struct daemon *d, int status)
{
    d->gateway.pid = 0;
    kh_broker_release(&d->broker);
    kh_fd_close(&d->gateway.broker);
    if (d->stopping)
        return;
    kh_log(KH_LOG_ERROR, "the gateway ended status=0x%x, starting it again", status);
    retry_gateway(d);
}

static void
box_ended(struct daemon *d, pid_t pid, int status)
{
    struct kh_error failed = {0}, err = {0};
    bool done = false, asked, removed;
    struct kh_box *box = kh_box_child_ended(&d->host, pid, status, &done, &failed);

    if (!box || !done)
        return;
    asked = box->waiter != 0;
    removed = box->phase == KH_BOX_REMOVING;
    kh_log(KH_LOG_INFO, "sandbox ended name=%s status=0x%x asked=%d removed=%d",
           box->record.name, status, asked, removed);
    if (failed.code)
        kh_log(KH_LOG_ERROR, "%s", failed.text);
    if (d->gateway.broker >= 0 &&
        kh_broker_box_done(&d->broker, box, status, &failed, &err) < 0)
        end_gateway(d, &err);
    if (removed)
        kh_box_forget(&d->host, box);
}

static void
reap(struct daemon *d)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == d->gateway.pid)
            gateway_ended(d, status);
        else
            box_ended(d, pid, status);
    }
}

/* TERM: the gateway first, so that clients are told, then the sandboxes. Their
 * disks and records stay. */
static void
begin_stop(struct daemon *d)
{
    struct kh_box *box;

    if (d->stopping)
        return;
    d->stopping = true;
    kh_log(KH_LOG_INFO, "stopping sandboxes=%u", d->host.running);
    if (d->gateway.pid > 0)
        kill(d->gateway.pid, SIGTERM);
    for (box = d->host.boxes; box; box = box->next)
        if (box->phase == KH_BOX_RUNNING)
            (void)kh_box_stop(&d->host, box, false, NULL);
    alarm(STOP_TIMEOUT_S);
}

static void
read_signals(struct daemon *d)
{
    struct signalfd_siginfo info;

    while (read(d->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(d);
        else
            begin_stop(d);
    }
}

static void
serve_gateway(struct daemon *d, short events)
{
    struct kh_error err = {0};
    int r = 0;

    if (events & POLLOUT)
        r = kh_broker_flush(&d->broker, &err);
    if (r == 0 && events & (POLLIN | POLLHUP | POLLERR))
        r = kh_broker_serve(&d->broker, &err);
    if (r < 0) {
        end_gateway(d, &err);
        return;
    }
    if (!d->told_ready && d->broker.phase == KH_BROKER_READY) {
        d->told_ready = true;
        printf("kernelhostd: ready state=%s\n", d->host.store.path);
        fflush(stdout);
    }
}

static bool
finished(const struct daemon *d)
{
    const struct kh_box *box;

    if (!d->stopping || d->gateway.pid > 0)
        return false;
    for (box = d->host.boxes; box; box = box->next)
        if (box->phase == KH_BOX_STOPPING)
            return false;
    return true;
}

static void
run(struct daemon *d)
{
    while (!finished(d)) {
        struct pollfd polls[2] = {
            {.fd = d->signals, .events = POLLIN},
            {.fd = d->gateway.broker, .events = POLLIN},
        };

        if (kh_broker_waits(&d->broker))
            polls[1].events |= POLLOUT;
        if (poll(polls, 2, d->retry_at ? 1000 : -1) < 0 && errno != EINTR)
            return;
        if (d->retry_at && !d->stopping && seconds() >= d->retry_at)
            retry_gateway(d);
        if (polls[0].revents)
            read_signals(d);
        else if (polls[1].revents && d->gateway.broker >= 0)
            serve_gateway(d, polls[1].revents);
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

static void
usage(FILE *out)
{
    fputs(
        "usage: kernelhostd [--state DIR] [--kit DIR] [--gateway FILE] [--id-base N]\n"
        "Started by `kernelhost serve`. Runs in the foreground; SIGTERM ends it.\n",
        out);
}

static int
serve(const char *state, const char *kit, const char *gateway, uint32_t id_base)
{
    static struct daemon d;
    struct kh_error err = {0};
    struct rlimit files;
    int r;

    d.broker.sock = d.gateway.broker = d.gateway.api = -1;
    umask(022);
    clean_descriptors();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    d.signals = block_signals(&err);
    r = d.signals < 0 ? d.signals : kh_host_open(state, kit, id_base, &d.host, &err);
    if (r < 0) {
        kh_log(KH_LOG_ERROR, "%s", err.text);
        return 1;
    }
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
    close(d.signals);
    kh_log(KH_LOG_INFO, "stopped");
    return r < 0 || !d.stopping;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"state", required_argument, NULL, 's'},
        {"kit", required_argument, NULL, 'k'},
        {"gateway", required_argument, NULL, 'g'},
        {"id-base", required_argument, NULL, 'i'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *state = getenv("KERNELHOST_STATE"), *kit = KH_KITDIR;
    const char *gateway = KH_LIBEXECDIR "/kernelhost-gateway";
    unsigned long id_base = KH_IDMAP_BASE;
    char *end = NULL;
    int c;

    kh_log_open("kernelhostd", KH_LOG_INFO);
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 's':
            state = optarg;
            break;
        case 'k':
            kit = optarg;
            break;
        case 'g':
            gateway = optarg;
            break;
        case 'i':
            id_base = strtoul(optarg, &end, 0);
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (!state)
        state = KH_STATEDIR;
    if ((end && *end) || id_base < KH_IDMAP_SIZE || id_base % KH_IDMAP_SIZE ||
        id_base > UINT32_MAX - (uint64_t)KH_IDMAP_SIZE * KH_IDMAP_SLOTS) {
        kh_log(KH_LOG_ERROR,
               "--id-base must be a multiple of %u above 0 with %u x %u ids "
               "behind it",
               KH_IDMAP_SIZE, KH_IDMAP_SLOTS, KH_IDMAP_SIZE);
        return 2;
    }
    if (geteuid() != 0) {
        kh_log(KH_LOG_ERROR, "kernelhostd needs root (hint: sudo kernelhost serve)");
        return 1;
    }
    return serve(state, kit, gateway, (uint32_t)id_base);
}
