/* helper: work that a child of kernelhostd does, because it changes namespaces or ids
 * on the way. The caller waits; it is for what takes milliseconds.
 */
#ifndef KH_HOST_HELPER_H
#define KH_HOST_HELPER_H

#include "base/error.h"

/* Runs WORK in a child and returns what it returns; its error text begins with WHAT.
 * -EIO when the child was killed. Descriptors that WORK opens end with the child. */
int kh_helper_run(int (*work)(const void *arg, struct kh_error *err), const void *arg,
                  const char *what, struct kh_error *err);

#endif
