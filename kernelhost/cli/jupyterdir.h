/* jupyterdir: where Jupyter looks for kernelspecs on this machine. */
#ifndef KH_CLI_JUPYTERDIR_H
#define KH_CLI_JUPYTERDIR_H

#include "base/error.h"
#include "kernelhost/cli/option.h"

/* Rows for a command's table. */
#define KH_JUPYTERDIR_OPTIONS                                                          \
    {"user", 0, NULL, "for this user only"},                                           \
        {"prefix", 0, "DIR", "under DIR/share/jupyter"},                               \
    {                                                                                  \
        "sys-prefix", 0, NULL, "into the active virtual environment"                   \
    }

/* "<data directory>/kernels" that the options choose; without one of them
 * /usr/local/share/jupyter/kernels. The caller frees *ret_dir. */
int kh_jupyterdir_choose(const struct kh_args *args, char **ret_dir,
                         struct kh_error *err);

/* Calls EACH with every such directory that Jupyter reads here, first those
 * that win. */
void kh_jupyterdir_each(void (*each)(const char *dir, void *arg), void *arg);

#endif
