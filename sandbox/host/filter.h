/* filter: the seccomp policy of everything inside a sandbox.
 *
 * Two programs are stacked. The first is the allow-list: a syscall that is not
 * in it does not exist (ENOSYS, which libraries have fallbacks for), or, where
 * it is a known door, is forbidden (EPERM). The second looks at arguments:
 * namespaces in clone, socket families and protocols, ioctls on terminals,
 * device nodes. Compares take the low 32 bits, as the kernel does: plain
 * equality on 64 bits is passed by setting bit 32. A foreign architecture (i386,
 * x32) kills the process; nothing else does.
 *
 * Sources: seccomp(2); section 4 of the security notes in SECURITY.md.
 */
#ifndef KH_HOST_FILTER_H
#define KH_HOST_FILTER_H

#include <linux/filter.h>

#include "base/error.h"

#define KH_FILTER_PROGRAMS 2

/* Compiles both programs, in the order in which they are to be installed. The
 * instructions belong to the caller (free ret_programs[i].filter). */
int kh_filter_compile(struct sock_fprog ret_programs[KH_FILTER_PROGRAMS],
                      struct kh_error *err);

/* The same for a zygote (zygote.h), which may also join namespaces (setns) and leave
 * its session keyring. Its children install the sandbox's programs on top. */
int kh_filter_compile_zygote(struct sock_fprog ret_programs[KH_FILTER_PROGRAMS],
                             struct kh_error *err);

/* Installs them on the calling thread; needs no_new_privs. Only system calls. */
int kh_filter_install(const struct sock_fprog programs[KH_FILTER_PROGRAMS],
                      struct kh_error *err);

#endif
