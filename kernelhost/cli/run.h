/* run: what the command `run` shares with its notebook part. */
#ifndef KH_CLI_RUN_H
#define KH_CLI_RUN_H

#include "kernelhost/cli/cli.h"
#include "kernelhost/cli/render.h"

struct kh_run {
    const struct kh_cli *cli;
    const char *sandbox;
    const char *language; /* -k, or NULL */
    const char *out;      /* -o, or NULL */
    json_t *create;       /* what to make if there is no such sandbox, or NULL */
    bool allow_errors;
    struct kh_render render;
};

/* Runs a notebook's text (NAME is its path) cell by cell. Returns an exit
 * status or -errno. What ran is written to run->out whatever happened. */
int kh_run_notebook(struct kh_run *run, const char *name, const char *data, size_t size,
                    struct kh_error *err);

#endif
