/* broker_own: the inside of the broker: broker.c (messages and replies) and what is
 * asked for, broker_serve.c and the other broker_*.c. Nobody else includes it.
 */
#ifndef KH_HOST_BROKER_OWN_H
#define KH_HOST_BROKER_OWN_H

#include "sandbox/host/box.h"
#include "sandbox/host/broker.h"

/* A handler fills the reply and returns 0, returns an error in reply->error, or
 * returns LATER: the answer comes when what it began has ended. */
#define KH_BROKER_LATER 1

struct kh_broker_row {
    uint32_t type;
    unsigned phases;
    int (*serve)(struct kh_broker *broker, const struct kh_broker_request *q,
                 struct kh_broker_reply *reply, int *ret_pass);
};

/* Ends with an empty row. */
extern const struct kh_broker_row kh_broker_table[];

/* Sends REPLY, with the descriptor PASS if it is not -1. A negative result ends the
 * gateway. */
int kh_broker_answer(struct kh_broker *broker, const struct kh_broker_reply *reply,
                     int pass, struct kh_error *err);

/* The sandbox that Q names; NULL with -ENOENT and the cure in *ERR. */
struct kh_box *kh_broker_find(struct kh_broker *broker,
                              const struct kh_broker_request *q, struct kh_error *err);

/* Requests about snapshots (broker_snapshot.c), and the one that Q names. */
int kh_broker_snapshot(struct kh_broker *broker, const struct kh_broker_request *q,
                       struct kh_broker_reply *reply, int *ret_pass);
int kh_broker_snapshots(struct kh_broker *broker, const struct kh_broker_request *q,
                        struct kh_broker_reply *reply, int *ret_pass);
int kh_broker_snapshot_remove(struct kh_broker *broker,
                              const struct kh_broker_request *q,
                              struct kh_broker_reply *reply, int *ret_pass);
int kh_broker_snapshot_adopt(struct kh_broker *broker,
                             const struct kh_broker_request *q,
                             struct kh_broker_reply *reply, int *ret_pass);
struct kh_snapshot *kh_broker_find_snapshot(struct kh_broker *broker,
                                            const struct kh_broker_request *q,
                                            struct kh_error *err);

/* broker_rollback.c */
int kh_broker_serve_rollback(struct kh_broker *broker,
                             const struct kh_broker_request *q,
                             struct kh_broker_reply *reply, int *ret_pass);

/* What a new sandbox of SNAPSHOT is to be, beyond what *RECORD says already. */
int kh_broker_take_over(const struct kh_snapshot *snapshot, struct kh_record *record,
                        struct kh_error *err);

/* Fills in what is known of BOX. */
void kh_broker_describe(struct kh_broker *broker, struct kh_box *box,
                        struct kh_broker_reply *reply);

/* The gateway's next step would be CONNECT; it takes it if this gives none. */
void kh_broker_pass_stream(struct kh_box *box, int *ret_pass);

/* A request that is answered later. */
struct kh_broker_waiting {
    struct kh_broker *broker;
    struct kh_box *box;
    uint64_t generation, serial;
    uint32_t type;
    unsigned flags;
    struct kh_box_waiter waiter;
};

/* broker_sleep.c: CREATE from a snapshot with memory is a waking. */
struct kh_snapshot;
int kh_broker_copy(struct kh_broker *broker, const struct kh_broker_request *q,
                   struct kh_record *wish, const struct kh_snapshot *snapshot,
                   struct kh_error *err);
int kh_broker_serve_freeze(struct kh_broker *broker, const struct kh_broker_request *q,
                           struct kh_broker_reply *reply, int *ret_pass);
int kh_broker_serve_hibernate(struct kh_broker *broker,
                              const struct kh_broker_request *q,
                              struct kh_broker_reply *reply, int *ret_pass);
int kh_broker_serve_wake(struct kh_broker *broker, const struct kh_broker_request *q,
                         struct kh_broker_reply *reply, int *ret_pass);
int kh_broker_serve_ladder(struct kh_broker *broker, const struct kh_broker_request *q,
                           struct kh_broker_reply *reply, int *ret_pass);

/* broker_usage.c */
int kh_broker_serve_limit(struct kh_broker *broker, const struct kh_broker_request *q,
                          struct kh_broker_reply *reply, int *ret_pass);
int kh_broker_serve_ended(struct kh_broker *broker, const struct kh_broker_request *q,
                          struct kh_broker_reply *reply, int *ret_pass);
int kh_broker_serve_settled(struct kh_broker *broker, const struct kh_broker_request *q,
                            struct kh_broker_reply *reply, int *ret_pass);

#endif
