/* option: a table of options, and what a command line said.
 *
 * GNU style: --name VALUE, --name=VALUE, -n VALUE, -nVALUE, joined letters
 * (-ab); options and arguments mix until "--". Pure: no I/O.
 */
#ifndef KH_CLI_OPTION_H
#define KH_CLI_OPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct kh_option {
    const char *name;  /* long name without the dashes; NULL ends a table */
    char letter;       /* short name, or 0 */
    const char *value; /* what the value is called in the help; NULL: a switch */
    const char *help;
    bool many; /* may be given more than once */
};

struct kh_given {
    const struct kh_option *option;
    const char *value; /* NULL for a switch */
};

/* Release with kh_args_release. The strings belong to argv. */
struct kh_args {
    const char **word; /* the arguments that are no options */
    size_t words;
    struct kh_given *given;
    size_t count;
};

void kh_args_release(struct kh_args *args);

/* Reads argv[0..argc-1]. TABLES is a NULL-ended list of option tables. With
 * LITERAL not 0, everything from the word number LITERAL on (counted from 1) is
 * taken as it stands. Returns 0, or -EINVAL with a text that names the nearest
 * option; *ret is set only on success. */
int kh_args_parse(const struct kh_option *const *tables, unsigned literal, int argc,
                  char *const *argv, struct kh_args *ret, struct kh_error *err);

/* The value of an option (the last one given), or NULL. */
const char *kh_args_get(const struct kh_args *args, const char *name);

/* True when the option was given. */
bool kh_args_has(const struct kh_args *args, const char *name);

/* The candidate nearest to WORD, or NULL when none is near. CANDIDATES ends
 * with NULL. */
const char *kh_nearest(const char *word, const char *const *candidates);

#endif
