/* rebind: a kernel's endpoints at their old place after a restart.
 *
 * A port may still be held by the gateway before this one, which is ending, or be
 * taken by somebody else: it is tried for KH_REBIND_MS, and then given up with a
 * line in the log and a word in the kernel's view. Owned by the kernel.
 */
#ifndef KH_GATEWAY_REBIND_H
#define KH_GATEWAY_REBIND_H

#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/kernel.h"

#define KH_REBIND_MS 30000

struct kh_rebind;

void kh_rebind_free(struct kh_rebind *rebind);

#endif
