#include "sandbox/init/kind.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/link/init.h"
#include "sandbox/init/spawn.h"

struct kind {
    const char *name;
    const char *interpreter;
    const char *directory; /* below the runners */
    char *env[3];          /* ended by NULL */
    const char *local;     /* comes before the interpreter, if it is there */
    const char *hint;      /* the cure when there is no interpreter */
};

/* -X and -W are left to the user's PYTHON* variables, as with any kernel.
 * PYTHONUNBUFFERED is not set: the runner flushes at the end of a cell, and a
 * write(2) for every print in a loop would cost more than the loop. */
static const struct kind kinds[] = {
    {"python",
     KH_PYTHON,
     "python",
     {(char *)KH_PYTHON_ENV},
     KH_PYTHON_LOCAL,
     "the image has no Python: kernelhost image build makes one with it"},
};

static const char *runners_dir = KH_INIT_RUNNERS;
static bool keep_user;

void
kh_kind_setup(const char *runners, bool keep)
{
    if (runners)
        runners_dir = runners;
    keep_user = keep;
}

bool
kh_kind_keep_user(void)
{
    return keep_user;
}

static const struct kind *
find(struct kh_slice name)
{
    size_t i;

    for (i = 0; i < KH_COUNT(kinds); i++)
        if (strlen(kinds[i].name) == name.size &&
            !memcmp(kinds[i].name, name.data, name.size))
            return &kinds[i];
    return NULL;
}

/* An image that builds its own Python (as the official ones for Docker do) has it in
 * /usr/local, maybe beside the distribution's. User code can put nothing there. */
static const char *
interpreter(const struct kind *kind)
{
    return access(kind->local, X_OK) == 0 ? kind->local : kind->interpreter;
}

int
kh_kind_cwd(struct kh_slice slice, char **ret_cwd, struct kh_error *err)
{
    const char *p = slice.data;

    if (!slice.size) {
        *ret_cwd = kh_xstrdup(KH_USER_CWD);
        return 0;
    }
    if (*p != '/' || slice.size >= PATH_MAX || memchr(p, '\0', slice.size))
        return kh_fail(err, EINVAL, "the directory is not an absolute path");
    *ret_cwd = kh_xmemdup(p, slice.size);
    return 0;
}

int
kh_kind_plan(struct kh_kind_plan *ret_plan, const struct kh_slice *slices,
             struct kh_error *err)
{
    const struct kind *kind = find(slices[0]);
    struct kh_kind_plan plan = {0};
    char shown[64];

    if (!kind)
        return kh_fail(
            err, ENOENT, "there is no kernel kind '%s' (hint: python)",
            kh_log_clean(slices[0].data, slices[0].size, shown, sizeof(shown)));
    if (kh_kind_cwd(slices[1], &plan.cwd, err) < 0 ||
        kh_spawn_strings(slices[2], &plan.extra, err) < 0 ||
        kh_spawn_env(kind->env, plan.extra, &plan.env, err) < 0) {
        kh_kind_plan_release(&plan);
        return -err->code;
    }
    plan.program = kh_xasprintf("%s/%s", runners_dir, kind->directory);
    plan.hint = kind->hint;
    plan.argv = kh_xcalloc(3, sizeof(*plan.argv));
    plan.argv[0] = (char *)interpreter(kind);
    plan.argv[1] = plan.program;
    plan.run = (struct kh_runner_plan){.kind = kind->name,
                                       .plain = !slices[1].size && !slices[2].size,
                                       .argv = plan.argv,
                                       .env = plan.env,
                                       .cwd = plan.cwd,
                                       .keep_user = keep_user};
    *ret_plan = plan;
    return 0;
}

void
kh_kind_plan_release(struct kh_kind_plan *plan)
{
    free(plan->argv);
    free(plan->program);
    free(plan->cwd);
    free(plan->extra);
    free(plan->env);
    *plan = (struct kh_kind_plan){0};
}
