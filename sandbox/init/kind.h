/* kind: the kinds of kernels, and what is run for each: one row a kind. */
#ifndef KH_INIT_KIND_H
#define KH_INIT_KIND_H

#include <stdbool.h>

#include "base/error.h"
#include "protocol/link/frame.h"
#include "sandbox/init/runner.h"

/* Where the runners are (KH_INIT_RUNNERS), and whether they run as ourselves:
 * tests change these once, before the first kernel. */
void kh_kind_setup(const char *runners, bool keep_user);

/* What a KERNEL_START asked for, checked and complete. Copied by value. */
struct kh_kind_plan {
    struct kh_runner_plan run; /* points to the rest */
    const char *hint;          /* when argv[0] is not there; static */
    char **argv;
    char *program; /* the runner's directory */
    char *cwd;
    char **extra; /* the client's environment strings */
    char **env;
};

/* SLICES are the three of KERNEL_START: kind, cwd, env. -ENOENT for an unknown
 * kind, -EINVAL or -E2BIG for the rest. *ret_plan is released by the caller. */
int kh_kind_plan(struct kh_kind_plan *ret_plan, const struct kh_slice *slices,
                 struct kh_error *err);
void kh_kind_plan_release(struct kh_kind_plan *plan);

/* A slice as a directory: "" is KH_USER_CWD; must be absolute, shorter than
 * PATH_MAX, without NUL. The caller frees it. */
int kh_kind_cwd(struct kh_slice slice, char **ret_cwd, struct kh_error *err);

/* Whether processes run as ourselves. */
bool kh_kind_keep_user(void);

#endif
