/* quota: whether an owner may have one more, or more of it.
 *
 * A quota is the operator's (config.h), over all that an owner has; what the machine
 * has room for is kernelhostd's to say (admission.h). Asked before kernelhostd is. What
 * was asked of it and is not answered yet counts already, so a burst gets no more than
 * one after the other would.
 */
#ifndef KH_GATEWAY_QUOTA_H
#define KH_GATEWAY_QUOTA_H

#include "kernelhost/gateway/gateway.h"
#include "protocol/link/broker.h"

/* 0 when MORE of it may be added to what is HELD. Else -EDQUOT with the quota, the
 * figures and the cure. Pure. */
int kh_quota_judge(const struct kh_quota *quota, const struct kh_holding *held,
                   const struct kh_holding *more, struct kh_error *err);

/* The same for what exists and what is on its way, and -EDQUOT while the configuration
 * is not right. On success MORE is on its way until kh_quota_done. */
int kh_quota_take(struct kh_gateway *gateway, const struct kh_holding *more,
                  struct kh_error *err);
void kh_quota_done(struct kh_gateway *gateway, const struct kh_holding *more);

/* What a new sandbox with these limits (0: the default) takes; what one that is started
 * takes; and what other limits take more than those of RECORD. */
struct kh_holding kh_quota_new(const struct kh_limits *limits);
struct kh_holding kh_quota_start(const struct kh_broker_reply *record);
struct kh_holding kh_quota_change(const struct kh_broker_reply *record,
                                  const struct kh_limits *limits);

/* Whether an owner that has so many SNAPSHOTS may make one more, and one fork so many
 * CHILDREN. */
int kh_quota_snapshot(const struct kh_gateway *gateway, uint64_t snapshots,
                      struct kh_error *err);
int kh_quota_fork(const struct kh_gateway *gateway, uint64_t children,
                  struct kh_error *err);

#endif
