/* drop: how a process that is about to read what is foreign gives up what it could do.
 *
 * Each program says in its own jail.c what little it keeps; this takes away the rest.
 * In this order: the last one leaves none of the calls that the others take. Each fails
 * closed: on an error the caller must end.
 */
#ifndef KH_IMAGE_DROP_H
#define KH_IMAGE_DROP_H

#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/error.h"

struct kh_drop_limit {
    int resource; /* RLIMIT_... */
    rlim_t value; /* soft and hard */
};

/* Nodes that may be made beside files and directories, all with device number 0. */
struct kh_drop_node {
    mode_t mask; /* which bits of the mode count */
    mode_t mode;
};

/* Sets the resource limits in ROWS; RLIMIT_AS is left alone under AddressSanitizer. */
int kh_drop_limits(const struct kh_drop_limit *rows, size_t count,
                   struct kh_error *err);

/* Keeps only the capabilities in the bits KEEP, none of them over an exec; sets
 * no_new_privs, and is not dumpable. */
int kh_drop_capabilities(unsigned keep, struct kh_error *err);

/* Of the system calls only ALLOWED are left, mmap and mprotect of what is no code, and
 * mknodat for NODES; any other is ENOSYS. */
int kh_drop_calls(const int *allowed, size_t count, const struct kh_drop_node *nodes,
                  size_t node_count, struct kh_error *err);

#endif
