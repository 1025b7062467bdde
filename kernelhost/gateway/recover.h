/* recover: what a gateway does with the notes of the one before it.
 *
 * Once, at the start, the notes about connections become notes about kernels: who
 * was there, and what everybody had. Then each kernel waits for its clients
 * (kernel_own.h), at most KH_RECOVER_MS.
 */
#ifndef KH_GATEWAY_RECOVER_H
#define KH_GATEWAY_RECOVER_H

#include "kernelhost/gateway/ledger.h"

#define KH_RECOVER_MS 2000

/* Before the first connection is made. */
void kh_recover_inherit(struct kh_ledger *ledger);

#endif
