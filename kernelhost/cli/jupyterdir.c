#include "kernelhost/cli/jupyterdir.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"

#define SYSTEM_PREFIX "/usr/local"

static const char *
environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

/* jupyter_core's jupyter_data_dir() on Linux. */
static char *
user_dir(void)
{
    const char *data = environment("JUPYTER_DATA_DIR");
    const char *xdg = environment("XDG_DATA_HOME");
    const char *home = environment("HOME");
    const struct passwd *user = home ? NULL : getpwuid(getuid());

    if (data)
        return kh_xasprintf("%s/kernels", data);
    if (xdg)
        return kh_xasprintf("%s/jupyter/kernels", xdg);
    if (user)
        home = user->pw_dir;
    return kh_xasprintf("%s/.local/share/jupyter/kernels", home ? home : "");
}

static char *
under(const char *prefix)
{
    return kh_xasprintf("%s/share/jupyter/kernels", prefix);
}

/* sys.prefix of the Python that stands first in PATH, without starting it: a
 * virtual environment's bin/python3 is a link, and its own place counts. */
static char *
python_prefix(void)
{
    AUTO_FREE char *path = kh_xstrdup(environment("PATH") ? environment("PATH") : "");
    char *save = NULL, *dir;

    for (dir = strtok_r(path, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        AUTO_FREE char *python = kh_xasprintf("%s/python3", dir);
        char *slash = strrchr(dir, '/');

        if (access(python, X_OK) == 0 && slash && !strcmp(slash, "/bin")) {
            *slash = '\0';
            return kh_xstrdup(*dir ? dir : "/");
        }
    }
    return NULL;
}

static char *
sys_prefix(void)
{
    const char *given = environment("VIRTUAL_ENV");

    if (!given)
        given = environment("CONDA_PREFIX");
    return given ? kh_xstrdup(given) : python_prefix();
}

int
kh_jupyterdir_choose(const struct kh_args *args, char **ret_dir, struct kh_error *err)
{
    const char *prefix = kh_args_get(args, "prefix");
    bool sys = kh_args_has(args, "sys-prefix"), user = kh_args_has(args, "user");
    AUTO_FREE char *found = NULL;

    if ((prefix != NULL) + sys + user > 1)
        return kh_fail(err, EINVAL, "give one of --user, --prefix and --sys-prefix");
    if (user) {
        *ret_dir = user_dir();
        return 0;
    }
    if (sys && !(found = sys_prefix()))
        return kh_fail(err, ENOENT, "no Python is active (hint: --prefix DIR)");
    if (prefix && !*prefix)
        return kh_fail(err, EINVAL, "option '--prefix' needs a directory");
    *ret_dir = under(sys ? found : prefix ? prefix : SYSTEM_PREFIX);
    return 0;
}

void
kh_jupyterdir_each(void (*each)(const char *dir, void *arg), void *arg)
{
    const char *path = environment("JUPYTER_PATH");
    AUTO_FREE char *copy = kh_xstrdup(path ? path : "");
    AUTO_FREE char *user = user_dir(), *sys = sys_prefix();
    char *save = NULL, *dir;

    for (dir = strtok_r(copy, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        AUTO_FREE char *kernels = kh_xasprintf("%s/kernels", dir);

        each(kernels, arg);
    }
    each(user, arg);
    if (sys && strcmp(sys, "/usr") && strcmp(sys, SYSTEM_PREFIX)) {
        AUTO_FREE char *kernels = under(sys);

        each(kernels, arg);
    }
    each(SYSTEM_PREFIX "/share/jupyter/kernels", arg);
    each("/usr/share/jupyter/kernels", arg);
}
