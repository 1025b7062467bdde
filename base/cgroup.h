/* cgroup: where the kernel says that control groups are.
 *
 * Reads the texts of /proc/self/mountinfo, /proc/self/cgroup and cgroup.controllers,
 * which the caller has read; opens nothing itself. kernelhostd and `kernelhost doctor`
 * use it, so that one finds what the other will.
 */
#ifndef KH_BASE_CGROUP_H
#define KH_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#define KH_CGROUP_TEXT_MAX  (1024u * 1024) /* bytes of such a file to read */
#define KH_CGROUP_PATH_SIZE 2048

/* True when WORD stands in the list TEXT, whose words SEPARATORS part. */
bool kh_cgroup_has_word(const char *text, const char *separators, const char *word);

/* True when CONTROLLERS, the content of a cgroup.controllers, lists all NAMES. */
bool kh_cgroup_has_all(const char *controllers, const char *const *names, size_t count);

/* The first mount point in MOUNTINFO of a filesystem of TYPE ("cgroup2", "cgroup")
 * whose super options have CONTROLLER (NULL: any). False when there is none. */
bool kh_cgroup_mount(const char *mountinfo, const char *type, const char *controller,
                     char ret_point[KH_CGROUP_PATH_SIZE]);

/* The path in the v1 hierarchy of CONTROLLER, of the process whose /proc/PID/cgroup
 * TEXT is. False when it is in none, or the path is too long. */
bool kh_cgroup_path(const char *text, const char *controller,
                    char ret_path[KH_CGROUP_PATH_SIZE]);

#endif
