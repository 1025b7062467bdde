/* helper: kernelhost-import as a process. */
#ifndef KH_IMAGE_HELPER_H
#define KH_IMAGE_HELPER_H

#include <sys/types.h>

#include "base/error.h"

struct kh_helper {
    pid_t pid;
    int pidfd;
    int link;   /* our end, wire.h */
    int userns; /* its ids: for idmapped mounts */
};

/* Clones it into new user, mount, pid, network, ipc, uts and cgroup namespaces,
 * writes its id maps and lets it go. Its descriptors 0 to 2 are /dev/null. */
int kh_helper_start(struct kh_helper *ret_helper, struct kh_error *err);

/* Kills it and waits until it is gone. */
void kh_helper_end(struct kh_helper *helper);

/* DIR as a mount of its own, attached nowhere, on which the helper's ids 0 to 65,535
 * are those of the disk, and whose root has nothing above it. */
int kh_helper_view(const struct kh_helper *helper, int dir, struct kh_error *err);

#endif
