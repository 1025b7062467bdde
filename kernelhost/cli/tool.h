/* tool: a program behind some of the commands, which does what `kernelhost` does not:
 * as root, on the state directory itself, it changes the image store or moves
 * snapshots.
 *
 * It gets --NAME=VALUE, checked here for the hint in the error, then the words. Values
 * and words are copied.
 */
#ifndef KH_CLI_TOOL_H
#define KH_CLI_TOOL_H

#include <stdint.h>

#include "kernelhost/cli/cli.h"

struct kh_tool {
    char **word; /* the program first; ended by NULL */
    size_t count;
};

/* Begins with PROGRAM, a path, and --state. */
void kh_tool_init(struct kh_tool *tool, const char *program, const struct kh_cli *cli);
void kh_tool_release(struct kh_tool *tool);

void kh_tool_word(struct kh_tool *tool, const char *word);

/* Nothing when VALUE is NULL. */
void kh_tool_value(struct kh_tool *tool, const char *name, const char *value);

/* The option NAME, if it was given: a size, or a number from 1 to MOST. */
int kh_tool_size(struct kh_tool *tool, const struct kh_args *args, const char *name,
                 struct kh_error *err);
int kh_tool_number(struct kh_tool *tool, const struct kh_args *args, const char *name,
                   uint64_t most, struct kh_error *err);

/* It takes our place: its exit status, and all signals, are ours. Returns if it cannot.
 */
int kh_tool_become(struct kh_tool *tool, struct kh_error *err);

/* Runs it; standard output goes to OUT (-1: ours). Returns its exit status. What the
 * terminal sends ends the tool in its own way, and from now on not us, who wait for
 * that; our end asks it to stop. */
int kh_tool_run(struct kh_tool *tool, int out, struct kh_error *err);

#endif
