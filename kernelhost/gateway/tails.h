/* tails: the tails of all kernels that have several subscribers, in memory that is
 * shared with the keeper (keeper.h). Made and dropped by the loop's thread; found by
 * the thread that writes, and by the keeper.
 */
#ifndef KH_GATEWAY_TAILS_H
#define KH_GATEWAY_TAILS_H

#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/tail.h"

#define KH_TAILS_MAX 1024u

struct kh_tails;

/* Memory for tails, to be shared with the keeper; NULL when there is none. */
struct kh_tails *kh_tails_new(void);

/* The tail of a kernel (an index of the ledger). kh_tails_find: NULL when it has none;
 * safe in any thread. kh_tails_need makes one, kh_tails_drop gives it back. */
struct kh_tail *kh_tails_find(struct kh_tails *tails, uint32_t kernel);
void kh_tails_need(struct kh_tails *tails, uint32_t kernel);
void kh_tails_drop(struct kh_tails *tails, uint32_t kernel);

#endif
