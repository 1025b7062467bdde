/* cli: the user's command line, `kernelhost`.
 *
 * One process a command, run by the user (root for now). It speaks HTTP over
 * STATE/run/api.sock (doc/api.md) and links libcurl and jansson; it never
 * touches a sandbox, an image or a record itself. Every command is one row of
 * the table in main.c and one function, and a new command is a new row.
 *
 * What a sandbox wrote is foreign text: names and errors go through text.h
 * before they reach a terminal.
 */
#ifndef KH_CLI_CLI_H
#define KH_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "kernelhost/cli/option.h"

/* What the process ends with; doc/kernelhost.1 shows the same list. */
enum kh_exit {
    KH_EXIT_OK = 0,
    KH_EXIT_FAILURE = 1,   /* anything else; for run: the code raised */
    KH_EXIT_USAGE = 2,     /* unknown command, option or bad value */
    KH_EXIT_NOT_FOUND = 3, /* no such sandbox, kernel, image or file */
    KH_EXIT_CONFLICT = 4,  /* the name is taken; the state does not allow it */
    KH_EXIT_NO_HOST = 5,   /* no host runs for this state directory */
    KH_EXIT_NOT_RUN = 127, /* exec: the command could not be started */
    KH_EXIT_SIGNAL = 128,  /* and the signal's number: run that was interrupted,
                              exec of a command that a signal killed */
};

struct kh_cli {
    const char *state; /* the state directory: --state, KERNELHOST_STATE, default */
    bool state_given;  /* by --state, so that what we write down repeats it */
    bool json;         /* --json */
};

enum kh_command_flag {
    KH_COMMAND_ANYONE = 1, /* works without root */
};

struct kh_command {
    const char *name;                /* one word, or two: "image ls" */
    const char *synopsis;            /* what follows the name */
    const char *summary;             /* one line */
    const char *help;                /* more lines, or NULL */
    const struct kh_option *options; /* ends with an empty row; may be NULL */
    unsigned min, max;               /* number of arguments */
    unsigned literal;                /* after so many arguments nothing is an option */
    unsigned flags;                  /* enum kh_command_flag */
    /* Returns an exit status, or -errno with *err set. */
    int (*run)(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err);
};

/* The table, ended by a row without name; and a row of it by its name. */
extern const struct kh_command kh_commands[];
const struct kh_command *kh_command_find(const char *name);

/* Fails with -EINVAL and the nearest command in the text. */
int kh_command_unknown(const char *name, struct kh_error *err);

/* Options that every command has (help.c prints them, main.c reads them). */
extern const struct kh_option kh_global_options[];

/* Prints "kernelhost: <text>" on standard error, with control characters made
 * visible. */
void kh_cli_complain(const struct kh_error *err);

/* The exit status for an error's code. */
int kh_cli_exit_status(int code);

typedef int kh_command_fn(struct kh_cli *, const struct kh_args *, struct kh_error *);

kh_command_fn kh_cmd_checkpoint, kh_cmd_checkpoint_rm, kh_cmd_checkpoints,
    kh_cmd_connect, kh_cmd_create, kh_cmd_doctor, kh_cmd_exec, kh_cmd_fork, kh_cmd_help,
    kh_cmd_idle, kh_cmd_image_build, kh_cmd_image_import, kh_cmd_image_ls,
    kh_cmd_image_rm, kh_cmd_kernel, kh_cmd_kernelspec_install, kh_cmd_kernelspec_list,
    kh_cmd_kernelspec_remove, kh_cmd_limits, kh_cmd_ls, kh_cmd_restart, kh_cmd_rm,
    kh_cmd_rollback, kh_cmd_run, kh_cmd_serve, kh_cmd_show, kh_cmd_sleep,
    kh_cmd_snapshot, kh_cmd_snapshot_export, kh_cmd_snapshot_import, kh_cmd_snapshot_ls,
    kh_cmd_snapshot_rm, kh_cmd_snapshot_show, kh_cmd_start, kh_cmd_stop, kh_cmd_upgrade,
    kh_cmd_usage, kh_cmd_version, kh_cmd_wake;

extern const struct kh_option kh_options_checkpoint[], kh_options_checkpoints[],
    kh_options_connect[], kh_options_create[], kh_options_exec[], kh_options_fork[],
    kh_options_idle[], kh_options_image_build[], kh_options_image_import[],
    kh_options_kernel[], kh_options_kernelspec[], kh_options_kernelspec_remove[],
    kh_options_limits[], kh_options_ls[], kh_options_run[], kh_options_serve[],
    kh_options_sleep[], kh_options_snapshot[], kh_options_snapshot_export[],
    kh_options_snapshot_import[], kh_options_snapshot_ls[], kh_options_upgrade[],
    kh_options_usage[];

#endif
