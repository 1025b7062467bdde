/* check: could this kernelhostd take over from the one that runs on a state directory?
 *
 * What `kernelhostd --check` does: it looks at its own parts (the kit, the gateway),
 * whether they are of one build, and at what the other has written. It takes no lock
 * and changes nothing.
 */
#ifndef KH_HOST_CHECK_H
#define KH_HOST_CHECK_H

#include "base/error.h"

/* What kernelhost-gateway answers to --versions. */
#define KH_CHECK_VERSIONS_MAX 128

/* 0, or the first thing that is missing or does not fit. *ret_sandboxes is how many
 * records there are. */
int kh_check(const char *state, const char *kit, const char *gateway,
             unsigned *ret_sandboxes, struct kh_error *err);

#endif
