/* posture: is a process confined as it must be? Looked at from outside, before
 * the first byte of anybody's code runs in it. */
#ifndef KH_HOST_POSTURE_H
#define KH_HOST_POSTURE_H

#include <stdint.h>
#include <sys/types.h>

#include "sandbox/host/box.h"

#include "base/error.h"

/* Compares ids (ID_FIRST is root inside), capabilities, no_new_privs, seccomp and
 * namespaces of PID with what a sandbox's kernelhost-init has. Fails with EPERM and
 * names the first thing that differs. */
int kh_posture_check(uint32_t id_first, pid_t pid, struct kh_error *err);

/* The same for a runner that joined BOX: PID's namespaces are those of the box's
 * first process, its ids the user's, it has no capability and the filters of the
 * sandbox on top of the zygote's. */
int kh_posture_check_runner(const struct kh_box *box, pid_t pid, struct kh_error *err);

/* Every thread of every process in the control groups of ID: PID is as kh_posture_check
 * wants it, and all others are the user's, without any capability, under the filters,
 * in the namespaces of PID. For what is to be hibernated, and what was brought back,
 * while it stands still. */
int kh_posture_check_all(struct kh_cgroups *groups, const char *id, uint32_t id_first,
                         pid_t pid, struct kh_error *err);

#endif
