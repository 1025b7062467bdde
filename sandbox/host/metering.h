/* metering: the meters of all sandboxes, and of removed ones until the gateway has
 * their sums in its ledger.
 *
 *     STATE/accounts/ID     a meter (meter.h); one without a sandbox is a removed one's
 *
 * A meter is read when somebody asks, when a sandbox changes its state, before its
 * control groups go, and every few seconds for the memory it holds, a few sandboxes at
 * a time. It is written when its groups or its record go, and once a minute unless it
 * is stopped: what a power cut takes is less than two minutes, and of the time that a
 * stopped one held its disk what the gateway has not put into its ledger yet.
 */
#ifndef KH_HOST_METERING_H
#define KH_HOST_METERING_H

#include "sandbox/host/box.h"
#include "sandbox/host/meter.h"
#include "sandbox/host/watch.h"

struct kh_metering;

/* Reads what an earlier host left. */
int kh_metering_open(struct kh_host *host, struct kh_error *err);
void kh_metering_free(struct kh_host *host);

/* Gives every box its meter, after the records are read and before groups without a
 * sandbox are swept: those are read here. Begins to look every few seconds. */
int kh_metering_adopt(struct kh_host *host, struct kh_error *err);

/* Reads the meter of BOX, to be called after its state has changed, too. RET_USAGE
 * (or NULL): the accounts of its groups, if it has any. */
void kh_metering_read(struct kh_host *host, struct kh_box *box,
                      struct kh_usage *ret_usage);

/* Reads and writes it: before its groups, or its record, go, and where what follows
 * counts as something else. */
void kh_metering_settle(struct kh_host *host, struct kh_box *box);

/* It begins from zero: what its groups have counted so far is not the sandbox's. */
void kh_metering_begin(struct kh_host *host, struct kh_box *box);

/* The same of what they have counted since it was read last: what froze it, or brought
 * it back. */
void kh_metering_skip(struct kh_host *host, struct kh_box *box);

/* BOX is removed: its meter stays, for the gateway. */
void kh_metering_close(struct kh_host *host, const struct kh_box *box);

/* BOX has never been a sandbox: nothing stays of its meter. */
void kh_metering_discard(struct kh_host *host, const struct kh_box *box);

/* The first removed one with a number above *NUMBER, which becomes its own; NULL when
 * there is none. */
const struct kh_meter *kh_metering_ended(const struct kh_host *host, uint64_t *number);

/* Forgets a removed one. */
void kh_metering_drop(struct kh_host *host, const uint8_t id[KH_ID_SIZE]);

#endif
