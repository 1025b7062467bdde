/* metering: carries what sandboxes and kernels have used into the ledger, the
 * registry's database.
 *
 * kernelhostd has the sums of sandboxes (protocol/link/broker.h), those of removed ones
 * until they are in the ledger for good; what kernels say of their executions is
 * counted in the memory that outlives the gateway (ledger.h). Both are put into the
 * database once a minute, when somebody wants to read it, and when a kernel goes. Of
 * stopped sandboxes kernelhostd writes nothing down meanwhile, so after a power cut its
 * sums may be less than what is in the ledger, which stays (database.h).
 */
#ifndef KH_GATEWAY_METERING_H
#define KH_GATEWAY_METERING_H

#include "kernelhost/gateway/gateway.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/sandbox.h"

struct kh_metering;

/* Begins with the first record. Close puts the last, once kernelhostd can be asked
 * nothing more and while the database is open; free is when that is closed, which tells
 * who waits here. */
struct kh_metering *kh_metering_new(struct kh_gateway *gateway);
void kh_metering_close(struct kh_metering *metering);
void kh_metering_free(struct kh_metering *metering);

/* Puts everything as it is now, then calls FN (with the error that came in between). */
void kh_metering_refresh(struct kh_metering *metering, kh_sandbox_fn *fn, void *arg);

/* The reply to an execute_request, whose METADATA (JSON) tells what it took, is entry
 * SEQ of the journal: counted, once. The sandbox says that, so it is the user's
 * information; what is paid for is the sandbox's account. */
void kh_metering_count(struct kh_ledger_kernel *note, uint64_t seq,
                       struct kh_slice metadata);

/* Puts what KERNEL has done, if it has since it was put last. */
void kh_metering_put_kernel(struct kh_gateway *gateway, struct kh_kernel *kernel);

#endif
