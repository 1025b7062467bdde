/* fault: named points at which a build for tests dies or fails.
 *
 * Compiled in by configure --enable-faults (./dev does), and then decided by the
 * environment variable KH_FAULT: "NAME=kill" kills the process as it comes to that
 * point, "NAME=ENOSPC" (EIO, EMFILE, ENOMEM) lets what follows fail. Without the option
 * nothing of this is there.
 *
 *     r = kh_fault("wake-recorded", err);
 */
#ifndef KH_BASE_FAULT_H
#define KH_BASE_FAULT_H

#include "base/error.h"

#ifdef KH_FAULTS
/* 0, or what KH_FAULT says for NAME. */
int kh_fault(const char *name, struct kh_error *err);
#else
static inline int
kh_fault(const char *name, struct kh_error *err)
{
    (void)name;
    (void)err;
    return 0;
}
#endif

#endif
