/* privs: which identity and capabilities a process keeps.
 *
 * Used around clone, between clone and exec (no allocation, no stdio) and by the
 * rootfs helper. */
#ifndef KH_HOST_PRIVS_H
#define KH_HOST_PRIVS_H

#include <stdint.h>

#include "base/error.h"

/* What kernelhost-init keeps, in its own user namespace: SETUID, SETGID, KILL. */
#define KH_INIT_CAPS ((1ull << 7) | (1ull << 6) | (1ull << 5))

/* Takes filesystem ids FIRST:FIRST for what the caller does from now on, keeping
 * its capabilities (a change of fsuid alone would drop the file ones). */
int kh_privs_fs_ids(uint32_t first, struct kh_error *err);

/* Takes effective uid ID and nothing else of that user: the filesystem id stays 0
 * and every capability effective. Who makes a user namespace with it lets that user
 * own the namespace; what is counted inside (inotify, pending signals) then counts
 * against that user's limits on the host and not against root's, which all sandboxes
 * and the host's services share. */
int kh_privs_lend_euid(uint32_t id, struct kh_error *err);
int kh_privs_take_euid_back(struct kh_error *err);

/* Takes effective uid ID over exec, with every capability that it has now. */
int kh_privs_carry(uint32_t id, struct kh_error *err);

/* Joins a session keyring that holds nothing. */
int kh_privs_fresh_keyring(struct kh_error *err);

/* Becomes uid 0, gid 0 of its own user namespace, with no other groups. */
int kh_privs_become_root(struct kh_error *err);

/* Leaves only KH_INIT_CAPS permitted, effective and inheritable, none ambient or in
 * the bounding set; sets no_new_privs; joins a fresh session keyring. */
int kh_privs_drop(struct kh_error *err);

/* Becomes the ordinary user UID:UID of the host with nothing: no other groups, no
 * capability in any set, no_new_privs, a fresh session keyring. */
int kh_privs_become_nobody(uint32_t uid, struct kh_error *err);

/* Bounds what the caller's user namespace may count: no user namespaces below it,
 * inotify instances and watches. The caller is privileged there. */
int kh_privs_counts(struct kh_error *err);

/* Sets the resource limits of a sandbox's processes (no core files). */
int kh_privs_rlimits(struct kh_error *err);

#endif
