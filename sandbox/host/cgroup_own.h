/* cgroup_own: the inside of struct kh_cgroups, shared by cgroup.c (the directories and
 * who is in them), cgroup_limit.c (limits and accounts) and cgroup_freeze.c. Nobody
 * else includes it.
 */
#ifndef KH_HOST_CGROUP_OWN_H
#define KH_HOST_CGROUP_OWN_H

#include "sandbox/host/cgroup.h"

/* The group that kh_cgroup_put_aside uses, among those of sandboxes. */
#define KH_CGROUP_HELPERS "helpers"

#define KH_CGROUP_FILE_MAX 65536u
#define KH_CGROUP_PATH     320 /* a directory entry, a slash, a file of ours */

struct kh_cgroups {
    int parent[KH_CGROUP_ROLES]; /* "kernelhost/KEY" in each hierarchy; may be equal */
    bool v2[KH_CGROUP_ROLES];
    char key[KH_CGROUP_KEY_SIZE];
};

/* Writes TEXT to the file NAME below DIR. */
int kh_cgroup_put(int dir, const char *name, const char *text, struct kh_error *err);

/* The path of FILE in ID's directory, in OUT. */
const char *kh_cgroup_file(char *out, size_t size, const char *id, const char *file);

/* cgroup_freeze.c: as kh_cgroup_list, of the directory of that role. */
int kh_cgroup_list_in(struct kh_cgroups *groups, int role, const char *id,
                      pid_t **ret_pids, size_t *ret_count, struct kh_error *err);

#endif
