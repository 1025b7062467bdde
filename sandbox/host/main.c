/* kernelhostd: the privileged process. One thread, epoll and signalfd; no network
 * byte, no JSON, no ZeroMQ ever reaches it. See doc/architecture.md. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/host/daemon.h"
#include "sandbox/host/idmap.h"

static void
usage(FILE *out)
{
    fputs(
        "usage: kernelhostd [--state DIR] [--kit DIR] [--gateway FILE] [--id-base N]\n"
        "                   [--max-sandboxes N] [--memory-reserve BYTES]\n"
        "Started by `kernelhost serve`. Runs in the foreground; SIGTERM ends it.\n",
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
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *state = getenv("KERNELHOST_STATE"), *kit = KH_KITDIR;
    const char *gateway = KH_LIBEXECDIR "/kernelhost-gateway";
    unsigned long id_base = KH_IDMAP_BASE;
    struct kh_admission admission = {.max = KH_IDMAP_SLOTS};
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
        case 'm':
        case 'r':
            if (read_admission(c, optarg, &admission) < 0)
                return 2;
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
    return kh_daemon_serve(state, kit, gateway, (uint32_t)id_base, &admission);
}
