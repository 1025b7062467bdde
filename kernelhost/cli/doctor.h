/* doctor: the facts about this machine that decide whether sandboxes run.
 *
 * Each fact is a function that fills in a finding; doctor.c has the table. A
 * check changes nothing that outlasts it: trials of mounts and namespaces
 * happen in a child process with namespaces of its own.
 */
#ifndef KH_CLI_DOCTOR_H
#define KH_CLI_DOCTOR_H

#include "kernelhost/cli/cli.h"

enum kh_finding_level {
    KH_FINDING_OK,
    KH_FINDING_WARN, /* works, but less well, or not needed yet */
    KH_FINDING_FAIL, /* sandboxes cannot run */
};

struct kh_finding {
    enum kh_finding_level level;
    char detail[400];
    char cure[200]; /* "" when there is none or none is needed */
};

typedef void kh_fact_fn(const struct kh_cli *cli, struct kh_finding *finding);

/* Set the finding; CURE may be NULL. */
void kh_finding_ok(struct kh_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void kh_finding_bad(struct kh_finding *finding, enum kh_finding_level level,
                    const char *cure, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* doctor_kernel.c */
kh_fact_fn kh_fact_root, kh_fact_kernel, kh_fact_namespaces, kh_fact_time_namespace,
    kh_fact_seccomp, kh_fact_landlock, kh_fact_descriptors;
/* doctor_capacity.c */
kh_fact_fn kh_fact_capacity;
/* doctor_cgroup.c */
kh_fact_fn kh_fact_cgroups, kh_fact_cgroup_kill;
/* doctor_criu.c */
kh_fact_fn kh_fact_hibernation;
/* doctor_state.c */
kh_fact_fn kh_fact_state, kh_fact_overlay, kh_fact_idmap, kh_fact_user,
    kh_fact_programs, kh_fact_image, kh_fact_host, kh_fact_config, kh_fact_disk;

/* probe.c: trials in a child process. 0, or a positive errno. */
int kh_probe_namespaces(int flags);
/* In a scratch directory below DIR, which is removed again. */
int kh_probe_overlay(const char *dir);
int kh_probe_idmap(const char *dir);

#endif
