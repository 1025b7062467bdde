/* netns: the sandbox's network: one loopback device and nothing else. */
#ifndef KH_HOST_NETNS_H
#define KH_HOST_NETNS_H

#include "base/error.h"

/* Brings `lo` up in the caller's network namespace. Called by PID 1 before it
 * drops its capabilities. Fails when any other device is there. */
int kh_netns_up(struct kh_error *err);

#endif
