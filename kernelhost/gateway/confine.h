/* confine: what the gateway takes away from itself before it reads a foreign byte.
 *
 * Landlock, where the kernel has it: files only beneath the working directory and in
 * that of the registry, no TCP connections outwards, signals and abstract sockets only
 * within. And a seccomp allow-list of its own: no exec, no ptrace, no namespaces, no
 * new kinds of socket but UNIX, INET and INET6. It must run before any thread is
 * started (Landlock holds for the calling thread and those it makes) and after
 * everything that is read once from elsewhere has been read.
 */
#ifndef KH_GATEWAY_CONFINE_H
#define KH_GATEWAY_CONFINE_H

#include "base/error.h"

/* Confines the process. REGISTRY_DIR, if not NULL, is the one directory that stays open
 * to it beside the working directory. Without seccomp it fails, and the gateway must
 * not run; *RET_LANDLOCK is the version of Landlock in force, 0 when the kernel has
 * none. */
int kh_confine(const char *registry_dir, int *ret_landlock, struct kh_error *err);

#endif
