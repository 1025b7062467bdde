/* snapshot: asks kernelhostd for one, with the sandbox standing still for it.
 *
 * With memory: the link is closed, the processes are saved and stay, the snapshot is
 * taken, and a sandbox that ran goes on at once; one that was frozen or hibernated
 * stays so.
 */
#ifndef KH_GATEWAY_SNAPSHOT_H
#define KH_GATEWAY_SNAPSHOT_H

#include "kernelhost/gateway/broker.h"
#include "kernelhost/gateway/gateway.h"

/* OTHER is its name, LABEL for people or "", EXPIRES seconds since 1970 or 0, FLAGS
 * those of the request. FN gets kernelhostd's answer, or one that says why it was not
 * asked. */
void kh_snapshot_ask(struct kh_gateway *gateway, const char *sandbox, const char *other,
                     const char *label, uint64_t expires, unsigned flags,
                     kh_broker_fn *fn, void *arg);

#endif
