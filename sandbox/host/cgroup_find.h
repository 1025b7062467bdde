/* cgroup_find: where the cgroup hierarchies of this host are mounted. */
#ifndef KH_HOST_CGROUP_FIND_H
#define KH_HOST_CGROUP_FIND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* The root of the v2 tree, as a directory descriptor. */
int kh_cgroup_find_v2(struct kh_error *err);

/* This process's own directory in the v1 hierarchy of CONTROLLER: limits set
 * around the host then also hold for its sandboxes. */
int kh_cgroup_find_v1(const char *controller, struct kh_error *err);

/* True when cgroup.controllers of the v2 directory ROOT lists all NAMES. */
bool kh_cgroup_has_controllers(int root, const char *const *names, size_t count);

#endif
