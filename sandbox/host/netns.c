#include "sandbox/host/netns.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clean.h"

int
kh_netns_up(struct kh_error *err)
{
    AUTO_FD int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo"};
    struct ifreq other = {.ifr_ifindex = 2};

    if (sock < 0)
        return kh_fail_errno(err, "cannot open a socket");
    /* lo is always index 1 and devices are numbered per namespace; fallback
     * tunnels (sit0...) would follow it when fb_tunnels_only_for_init_net is 0. */
    for (; other.ifr_ifindex < 16; other.ifr_ifindex++)
        if (ioctl(sock, SIOCGIFNAME, &other) == 0)
            return kh_fail(err, EEXIST,
                           "network device '%s' is in the new namespace (hint: sysctl "
                           "net.core.fb_tunnels_only_for_init_net=2)",
                           other.ifr_name);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(sock, SIOCSIFFLAGS, &request) < 0)
        return kh_fail_errno(err, "cannot bring up 'lo'");
    return 0;
}
