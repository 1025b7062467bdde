/* cgroup: limits and accounts of sandboxes, on cgroup v2 or v1.
 *
 * A host has one parent directory in each hierarchy it uses, "kernelhost/KEY"
 * (KEY is the state directory's), and a sandbox one directory below each, named
 * by its id. Roles: memory, cpu, pids carry limits; kill is a v2 tree, with or
 * without controllers, for cgroup.kill. On a v2 host all roles are one
 * directory; on a hybrid host the limits are on v1.
 *
 * Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel.
 */
#ifndef KH_HOST_CGROUP_H
#define KH_HOST_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/clean.h"
#include "protocol/link/broker.h"

enum kh_cgroup_role {
    KH_CGROUP_MEMORY,
    KH_CGROUP_CPU,
    KH_CGROUP_PIDS,
    KH_CGROUP_KILL,
    KH_CGROUP_ROLES,
};

#define KH_CGROUP_KEY_SIZE 40

struct kh_cgroups;

/* Finds the hierarchies of this host and makes the parent directories. Fails,
 * naming the controller, when memory, cpu or pids cannot be limited. */
int kh_cgroups_open(const char *key, struct kh_cgroups **ret_groups,
                    struct kh_error *err);

/* The same on a v2 tree at the open directory ROOT (tests use a made-up one). */
int kh_cgroups_open_v2(int root, const char *key, struct kh_cgroups **ret_groups,
                       struct kh_error *err);
void kh_cgroups_free(struct kh_cgroups *groups);
KH_DEFINE_CLEANUP(kh_cgroups)

/* Makes the directories of sandbox ID and writes LIMITS. Undone on failure. */
int kh_cgroup_create(struct kh_cgroups *groups, const char *id,
                     const struct kh_limits *limits, struct kh_error *err);

/* Writes LIMITS to the directories of ID, which may be in use. */
int kh_cgroup_limit(struct kh_cgroups *groups, const char *id,
                    const struct kh_limits *limits, struct kh_error *err);

/* Changes the limits of ID, which may be in use, and nothing when that fails. Memory
 * that can be had is taken away for it, which may take a while; nobody is killed.
 * -EBUSY with the figures: more memory is in use. */
int kh_cgroup_change(struct kh_cgroups *groups, const char *id,
                     const struct kh_limits *from, const struct kh_limits *to,
                     struct kh_error *err);

/* The v2 directory of ID to be born in (CLONE_INTO_CGROUP), or -1 when there is
 * none. The caller closes it. */
int kh_cgroup_birth(struct kh_cgroups *groups, const char *id);

/* Puts process PID into every v1 directory of ID. */
int kh_cgroup_add(struct kh_cgroups *groups, const char *id, pid_t pid,
                  struct kh_error *err);

/* Puts process PID, which lives elsewhere, into every directory of ID. */
int kh_cgroup_move(struct kh_cgroups *groups, const char *id, pid_t pid,
                   struct kh_error *err);

/* Kills every process in ID at once where the kernel can (5.14). */
void kh_cgroup_kill(struct kh_cgroups *groups, const char *id);

/* Freezes every process in ID, or lets them go on. Freezing takes its time: await
 * waits for it, TIMEOUT_MS at most (-ETIMEDOUT). A killed process ends frozen or not.
 * -ENOTSUP where the machine has no v2 tree. */
int kh_cgroup_freeze(struct kh_cgroups *groups, const char *id, bool freeze,
                     struct kh_error *err);
int kh_cgroup_await_frozen(struct kh_cgroups *groups, const char *id, int timeout_ms,
                           struct kh_error *err);
bool kh_cgroup_is_frozen(struct kh_cgroups *groups, const char *id);

/* The processes in ID; the caller frees *ret_pids. */
int kh_cgroup_list(struct kh_cgroups *groups, const char *id, pid_t **ret_pids,
                   size_t *ret_count, struct kh_error *err);

/* The path of ID's directory there, as kernelhostd sees it. */
int kh_cgroup_where(struct kh_cgroups *groups, const char *id, char *out, size_t size,
                    struct kh_error *err);

/* Takes PID, a helper of ours, out of the group that is frozen. */
int kh_cgroup_put_aside(struct kh_cgroups *groups, pid_t pid, struct kh_error *err);

/* They have ended: removes the group they were put into, unless others are in it. */
void kh_cgroup_clear_aside(struct kh_cgroups *groups);

/* Reads the accounts; what cannot be read stays 0. */
void kh_cgroup_usage(struct kh_cgroups *groups, const char *id,
                     struct kh_usage *ret_usage);

/* Bytes that its processes have read and written by now (/proc/PID/io, rchar and wchar;
 * of the first thousand): a sum that rises while somebody does so, and may fall. */
uint64_t kh_cgroup_io(struct kh_cgroups *groups, const char *id);

/* Bytes of memory in it that belong to no process alone: tmpfs, shared memory. */
uint64_t kh_cgroup_shared(struct kh_cgroups *groups, const char *id);

/* A number that no other group has until the machine is started again, not even a
 * later one of the same ID; 0 when there is none. */
uint64_t kh_cgroup_number(struct kh_cgroups *groups, const char *id);

/* Removes the directories of ID, and ends first what is in them: waits for that, a
 * second at most, then -EBUSY. */
int kh_cgroup_remove(struct kh_cgroups *groups, const char *id, struct kh_error *err);

/* True when process PID is in the directories of ID, in each hierarchy. */
bool kh_cgroup_holds(struct kh_cgroups *groups, const char *id, pid_t pid);

/* Kills and removes what an earlier host left below the parents, but for the
 * sandboxes of which KEEP says true. */
void kh_cgroups_sweep(struct kh_cgroups *groups,
                      bool (*keep)(void *arg, const char *id), void *arg);

/* All sandboxes together get at most MEMORY bytes. What they fill beyond that ends one
 * of their processes, and none of the machine's. */
int kh_cgroups_bound(struct kh_cgroups *groups, uint64_t memory, struct kh_error *err);

/* Removes the parent directories again, those that nothing is in. */
void kh_cgroups_remove_parents(struct kh_cgroups *groups);

#endif
