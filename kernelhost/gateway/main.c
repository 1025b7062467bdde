/* kernelhost-gateway: speaks Jupyter and HTTP to clients, and to sandboxes.
 *
 *     kernelhost-gateway --broker-fd N --api-fd N --public-dir PATH
 *                        [--ledger-fd N] [--registry-dir DIR]
 *
 * or with --versions, which kernelhostd --check compares with its own.
 * Started by kernelhostd under an own uid, with an empty 0700 directory as working
 * directory, which clients know as PATH. Confines itself, lists the sandboxes, and
 * serves until SIGTERM or until kernelhostd is gone. Sandboxes go on without it.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <czmq.h>
#include <jansson.h>
#include <openssl/crypto.h>

#include "base/clean.h"
#include "base/log.h"
#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/confine.h"
#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/gateway.h"
#include "kernelhost/gateway/heart.h"
#include "kernelhost/gateway/keeper.h"
#include "kernelhost/gateway/launch.h"
#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/loop.h"
#include "kernelhost/gateway/metering.h"
#include "kernelhost/gateway/recover.h"
#include "kernelhost/gateway/registry.h"
#include "kernelhost/gateway/written.h"
#include "kernelhost/http/routes.h"
#include "kernelhost/http/server.h"
#include "protocol/link/versions.h"

#define ZMQ_SOCKETS_MAX 65535

struct options {
    int broker_fd;
    int api_fd;
    int ledger_fd; /* -1: nothing outlives us */
    const char *public_dir;
    const char *registry_dir; /* NULL: likewise */
    const char *config;       /* NULL: presets */
};

struct host {
    struct kh_gateway gateway;
    struct options options;
    struct kh_signal *term, *intr;
    pid_t parent;
    struct kh_tails *tails;
    int status;
};

static int
read_number(const char *text, int *ret_number)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (*end || end == text || number < 3 || number > 1000000)
        return -EINVAL;
    *ret_number = (int)number;
    return 0;
}

static int
read_options(int argc, char **argv, struct options *ret_options)
{
    static const struct option table[] = {
        {"broker-fd", required_argument, NULL, 'b'},
        {"api-fd", required_argument, NULL, 'a'},
        {"public-dir", required_argument, NULL, 'p'},
        {"ledger-fd", required_argument, NULL, 'l'},
        {"registry-dir", required_argument, NULL, 'r'},
        {"config", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.broker_fd = -1, .api_fd = -1, .ledger_fd = -1};
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (c == 'b')
            r = read_number(optarg, &options.broker_fd);
        else if (c == 'a')
            r = read_number(optarg, &options.api_fd);
        else if (c == 'l')
            r = read_number(optarg, &options.ledger_fd);
        else if (c == 'p')
            options.public_dir = optarg;
        else if (c == 'r')
            options.registry_dir = optarg;
        else if (c == 'c')
            options.config = optarg;
        else
            r = -EINVAL;
    }
    if (r < 0 || optind < argc || options.broker_fd < 0 || options.api_fd < 0 ||
        !options.public_dir || options.public_dir[0] != '/') {
        fputs("usage: kernelhost-gateway --broker-fd N --api-fd N --public-dir PATH\n"
              "                          [--ledger-fd N] [--registry-dir DIR]\n"
              "                          [--config FILE]\n"
              "(kernelhostd starts it; see kernelhost serve)\n",
              stderr);
        return -EINVAL;
    }
    *ret_options = options;
    return 0;
}

/* Each connected kernel takes some twenty descriptors. */
static void
raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int
make_directory(const char *path, struct kh_error *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make directory '%s'", path);
    return 0;
}

/* Everything that reads files or the environment once, before confinement. */
static int
prepare(struct kh_error *err)
{
    int r;

    signal(SIGPIPE, SIG_IGN);
    umask(077);
    tzset();
    raise_descriptors();
    json_object_seed(0);
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    zsys_handler_set(NULL);
    zsys_init();
    zsys_set_max_sockets(ZMQ_SOCKETS_MAX);
    zsys_set_logsender(NULL);
    r = make_directory(KH_DIR_SOCKETS, err);
    if (r == 0)
        r = make_directory(KH_DIR_CONNECTIONS, err);
    return r;
}

/* Without it nearly everything is as well: see keeper.h for what is not. */
static void
start_keeper(struct host *host)
{
    int fd = host->options.ledger_fd;
    struct kh_error err;

    if (fd < 0)
        return;
    kh_keeper_wait(fd);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                 \
    !defined(KH_COVERAGE)
    host->tails = kh_tails_new();
    if (host->tails && kh_keeper_start(fd, host->tails, &err) < 0)
        kh_log(KH_LOG_WARN, "%s", err.text);
#else
    (void)err;
#endif
}

static int
confine(const char *registry_dir, struct kh_error *err)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                   \
    defined(KH_COVERAGE)
    (void)registry_dir;
    (void)err;
    kh_log(KH_LOG_WARN, "not confined: built for tests only");
    return 0;
#else
    int abi;
    int r = kh_confine(registry_dir, &abi, err);

    if (r == 0 && !abi)
        kh_log(KH_LOG_WARN,
               "this kernel has no Landlock: files are limited by uid only");
    return r;
#endif
}

/* Sandboxes end only if kernelhostd ends us in order. Without it (its death sends us
 * SIGTERM as well) they go on, and so do their clients: nobody is told anything. */
static void
stop(void *arg)
{
    struct host *host = arg;

    host->gateway.leaving = getppid() != host->parent;
    kh_loop_stop(host->gateway.loop);
}

static void
on_exited(void *arg, const struct kh_broker_reply *reply)
{
    struct host *host = arg;

    kh_registry_exited(host->gateway.registry, reply);
}

static void
on_broker_closed(void *arg, const struct kh_error *why)
{
    struct host *host = arg;

    kh_log(KH_LOG_ERROR, "%s", why->text);
    host->status = 1;
    host->gateway.leaving = true;
    kh_loop_stop(host->gateway.loop);
}

/* Only now are names known: requests may come. */
static void
on_listed(void *arg, const struct kh_error *err)
{
    struct host *host = arg;
    struct kh_gateway *gateway = &host->gateway;
    struct kh_error why;

    if (!err)
        kh_registry_recover(gateway->registry);
    if (!err)
        kh_launches_adopt(gateway->launches);
    if (!err)
        gateway->http = kh_http_new(gateway->loop, host->options.api_fd,
                                    kh_routes_handle, gateway, &why);
    if (gateway->http) {
        gateway->metering = kh_metering_new(gateway);
        kh_log(KH_LOG_INFO, "serving sandboxes=%u",
               kh_registry_count(gateway->registry));
        return;
    }
    kh_log(KH_LOG_ERROR, "%s", err ? err->text : why.text);
    host->status = 1;
    kh_loop_stop(gateway->loop);
}

static uint64_t
first_number(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int
open_host(struct host *host, struct kh_error *err)
{
    struct kh_gateway *gateway = &host->gateway;
    struct kh_broker_events events = {
        .exited = on_exited, .closed = on_broker_closed, .arg = host};

    gateway->public_dir = host->options.public_dir;
    gateway->last_number = first_number();
    gateway->ledger = kh_ledger_open(host->options.ledger_fd, err);
    if (!gateway->ledger)
        return -err->code;
    kh_recover_inherit(gateway->ledger);
    kh_written_begin(gateway->ledger, host->tails);
    gateway->loop = kh_loop_new();
    host->term = kh_signal_new(gateway->loop, SIGTERM, stop, host);
    host->intr = kh_signal_new(gateway->loop, SIGINT, stop, host);
    gateway->heart = kh_heart_new(err);
    if (!gateway->heart)
        return -err->code;
    gateway->database = kh_database_open(gateway->loop, host->options.registry_dir);
    gateway->registry = kh_registry_new(gateway);
    gateway->launches = kh_launches_new(gateway);
    gateway->broker =
        kh_broker_new(gateway->loop, host->options.broker_fd, &events, err);
    if (!gateway->broker)
        return -err->code;
    kh_registry_refresh(gateway->registry, on_listed, host);
    return 0;
}

/* First nothing new can come of kernelhostd, then kernels, then clients. */
static void
close_host(struct host *host)
{
    struct kh_gateway *gateway = &host->gateway;

    gateway->ending = true;
    if (gateway->leaving)
        kh_ledger_leave(gateway->ledger);
    if (gateway->broker)
        kh_broker_close(gateway->broker);
    kh_metering_close(gateway->metering);
    kh_database_close(gateway->database);
    kh_metering_free(STEAL_PTR(gateway->metering));
    kh_registry_free(gateway->registry);
    kh_launches_free(gateway->launches);
    kh_http_free(gateway->http);
    kh_broker_free(gateway->broker);
    kh_heart_free(gateway->heart);
    kh_signal_close(host->term);
    kh_signal_close(host->intr);
    kh_loop_free(gateway->loop);
    zsys_shutdown();
    kh_written_begin(NULL, NULL);
    kh_ledger_free(gateway->ledger);
    rmdir(KH_DIR_SOCKETS);
    rmdir(KH_DIR_CONNECTIONS);
}

int
main(int argc, char **argv)
{
    struct host host = {.parent = getppid()};
    struct kh_error err;
    int r;

    kh_log_open("kernelhost-gateway", KH_LOG_INFO);
    if (argc == 2 && !strcmp(argv[1], "--versions")) {
        fputs(KH_VERSIONS, stdout);
        return 0;
    }
    if (read_options(argc, argv, &host.options) < 0)
        return 2;
    start_keeper(&host);
    r = prepare(&err);
    kh_config_load(host.options.config, &host.gateway.config);
    if (r == 0)
        r = confine(host.options.registry_dir, &err);
    if (r == 0)
        r = open_host(&host, &err);
    if (r == 0) {
        kh_loop_run(host.gateway.loop);
    } else {
        kh_log(KH_LOG_ERROR, "%s", err.text);
        host.status = 1;
    }
    if (host.gateway.loop)
        close_host(&host);
    return host.status;
}
