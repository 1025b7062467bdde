/* jail: what kernelhost-import gives up before it reads a foreign byte.
 *
 * It was cloned into namespaces of its own; root there is a range of ids that nobody
 * has outside. What is left: an empty, read-only root directory, the descriptors it
 * is handed, CHOWN, DAC_OVERRIDE and FOWNER over files of its own ids, and the
 * system calls that unpacking takes. */
#ifndef KH_IMAGE_JAIL_H
#define KH_IMAGE_JAIL_H

#include "base/error.h"
#include "sandbox/image/wire.h"

/* In the order of the header; LIMITS become resource limits. Fails closed. */
int kh_jail_enter(const struct kh_import_limits *limits, struct kh_error *err);

#endif
