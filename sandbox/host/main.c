/* kernelhostd: the privileged process. One thread, epoll and signalfd; no network
 * byte, no JSON, no ZeroMQ ever reaches it. See doc/architecture.md. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "protocol/link/versions.h"
#include "sandbox/host/check.h"
#include "sandbox/host/daemon.h"
#include "sandbox/host/idmap.h"
#include "sandbox/host/snapshots.h"
#include "sandbox/host/spare.h"

static void
usage(FILE *out)
{
    fputs(
        "usage: kernelhostd [--state DIR] [--kit DIR] [--gateway FILE] [--id-base N]\n"
        "                   [--max-sandboxes N] [--memory-reserve BYTES]\n"
        "                   [--preload MODULE,...|none] [--spares N] [--criu DIR]\n"
        "                   [--max-snapshots N] [--check]\n"
        "Started by `kernelhost serve`. Runs in the foreground; SIGTERM ends it,\n"
        "SIGUSR2 restarts it beneath its sandboxes. --check only tells whether it\n"
        "could take over the state directory.\n",
        out);
}

static int
read_admission(int option, const char *text, struct kh_admission *admission)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (*text < '1' || *text > '9' || *end) {
        kh_log(KH_LOG_ERROR, "--%s must be a number above 0",
               option == 'm' ? "max-sandboxes" : "memory-reserve");
        return -EINVAL;
    }
    if (option == 'r')
        admission->reserve = value;
    else
        admission->max = value < KH_IDMAP_SLOTS ? (unsigned)value : KH_IDMAP_SLOTS;
    return 0;
}

static int
read_number(const char *option, const char *text, unsigned most, unsigned *ret_number)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || value > most) {
        kh_log(KH_LOG_ERROR, "--%s must be a number from 0 to %u", option, most);
        return -EINVAL;
    }
    *ret_number = (unsigned)value;
    return 0;
}

static int
check(const struct kh_daemon_options *o)
{
    struct kh_error err = {0};
    unsigned sandboxes;

    if (kh_check(o->state, o->kit, o->gateway, &sandboxes, &err) < 0) {
        kh_log(KH_LOG_ERROR, "%s", err.text);
        return 1;
    }
    printf("%ssandboxes %u\n", KH_VERSIONS, sandboxes);
    return 0;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"state", required_argument, NULL, 's'},
        {"kit", required_argument, NULL, 'k'},
        {"gateway", required_argument, NULL, 'g'},
        {"id-base", required_argument, NULL, 'i'},
        {"max-sandboxes", required_argument, NULL, 'm'},
        {"memory-reserve", required_argument, NULL, 'r'},
        {"preload", required_argument, NULL, 'p'},
        {"spares", required_argument, NULL, 'n'},
        {"max-snapshots", required_argument, NULL, 'S'},
        {"criu", required_argument, NULL, 'u'},
        {"check", no_argument, NULL, 'c'},
        {"resume", required_argument, NULL, 'R'}, /* renew.h */
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct kh_daemon_options o = {
        .state = getenv("KERNELHOST_STATE"),
        .kit = KH_KITDIR,
        .gateway = KH_LIBEXECDIR "/kernelhost-gateway",
        .admission = {.max = KH_IDMAP_SLOTS},
        .preload = "numpy,pandas,matplotlib.pyplot",
        .spares = 4,
        .snapshots = KH_SNAPSHOTS_MAX,
        .criu = KH_LIBEXECDIR "/criu",
        .argv = argv,
    };
    unsigned long id_base = KH_IDMAP_BASE;
    bool only_check = false;
    char *end = NULL;
    int c;

    kh_log_open("kernelhostd", KH_LOG_INFO);
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 's':
            o.state = optarg;
            break;
        case 'k':
            o.kit = optarg;
            break;
        case 'g':
            o.gateway = optarg;
            break;
        case 'i':
            id_base = strtoul(optarg, &end, 0);
            break;
        case 'm':
        case 'r':
            if (read_admission(c, optarg, &o.admission) < 0)
                return 2;
            break;
        case 'p':
            o.preload = optarg;
            break;
        case 'n':
            if (read_number("spares", optarg, KH_SPARES_MAX, &o.spares) < 0)
                return 2;
            break;
        case 'S':
            if (read_number("max-snapshots", optarg, KH_SNAPSHOTS_MAX, &o.snapshots) <
                0)
                return 2;
            break;
        case 'u':
            o.criu = optarg;
            break;
        case 'c':
            only_check = true;
            break;
        case 'R':
            o.resume = optarg;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (!o.state)
        o.state = KH_STATEDIR;
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
    o.id_base = (uint32_t)id_base;
    return only_check ? check(&o) : kh_daemon_serve(&o);
}
