/* command: what the programs behind `kernelhost image` and `kernelhost snapshot` have
 * in common: values in front of their words, and how they end. */
#ifndef KH_IMAGE_COMMAND_H
#define KH_IMAGE_COMMAND_H

#include <stddef.h>

/* Takes "--NAME=VALUE" for one of the COUNT names: VALUES has it at that place,
 * pointing into WORD. -EINVAL: it is none of them. */
int kh_command_value(char *word, const char *const *names, size_t count,
                     const char **values);

/* The exit status for an error number, as kernelhost(1) says; after a signal that asked
 * to stop (progress.h), 128 and its number. */
int kh_command_status(int code);

#endif
