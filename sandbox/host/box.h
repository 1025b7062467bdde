/* box: one sandbox as kernelhostd knows it: its record and, while it runs, its
 * first process.
 *
 *     state      start      stop       PID 1 ended   remove
 *     STOPPED    -> RUNNING EALREADY   -             -> REMOVING
 *     RUNNING    EALREADY   -> STOPPING -> STOPPED   -> STOPPING, then REMOVING
 *     STOPPING   EBUSY      EBUSY      -> STOPPED    EBUSY
 *     REMOVING   EBUSY      EBUSY      -             EBUSY
 *     HIBERNATED EBUSY      STOPPED    -             -> REMOVING
 *     SAVING     EBUSY      later      -> STOPPED    later
 *     WAKING     EBUSY      later      -             later
 *
 * Later: when it is HIBERNATED or RUNNING. RUNNING is frozen, or it is not. STOPPING
 * for a rollback ends as HIBERNATED or STOPPED (rollback.h).
 *
 * Starting is done when the call returns. Stopping and removing end later, when
 * PID 1 (and with it every process inside) has ended, or the helper that deletes
 * the disk: the host's box_ended is called then.
 */
#ifndef KH_HOST_BOX_H
#define KH_HOST_BOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "sandbox/host/host.h"
#include "sandbox/host/meter.h"
#include "sandbox/host/process.h"
#include "sandbox/host/store.h"

struct kh_hibernate;
struct kh_join;
struct kh_rollback;
struct kh_wake;

enum kh_spare_state {
    KH_SPARE_NOT, /* a sandbox like any other */
    KH_SPARE_MAKING,
    KH_SPARE_READY,
};

enum kh_box_phase {
    KH_BOX_STOPPED,
    KH_BOX_RUNNING,
    KH_BOX_SAVING,     /* on its way from RUNNING to HIBERNATED (hibernate.h) */
    KH_BOX_HIBERNATED, /* no process, but memory on the disk (memory.h) */
    KH_BOX_WAKING,     /* on its way back (wake.h) */
    KH_BOX_STOPPING,
    KH_BOX_REMOVING,
};

enum kh_box_later {
    KH_LATER_NOTHING,
    KH_LATER_END, /* stop it if it runs then */
    KH_LATER_STOP,
    KH_LATER_REMOVE,
};

/* Waits for the end of SAVING or WAKING; embedded in its owner. */
struct kh_box_waiter {
    struct kh_box_waiter *next;
    void (*settled)(struct kh_box_waiter *waiter);
};

struct kh_box {
    struct kh_host *host;
    uint64_t number; /* in the host's boxes */
    struct kh_record record;
    enum kh_box_phase phase;
    char id[KH_ID_TEXT];
    char place[KH_ID_TEXT];    /* of its disk and memory */
    uint32_t slot;             /* while it runs */
    struct kh_birth birth;     /* the same */
    struct kh_zygote *zygote;  /* whose children can join it, then; or NULL */
    struct kh_join *joins;     /* runners on their way (join.h) */
    bool warm;                 /* a runner has joined, and nobody was told */
    bool open;                 /* others than the zygote may have run code in it */
    unsigned failures;         /* runners that did not arrive since, in a row */
    enum kh_spare_state spare; /* see spare.h */
    struct kh_box *next_spare;
    struct kh_process process; /* PID 1, or the deleting helper */
    bool remove;               /* STOPPING: go on to REMOVING */
    unsigned still;            /* snapshots for which it stands still (snapshot.h) */
    uint64_t waiter;           /* serial of the broker request to answer at the end */
    uint32_t waiter_type;
    struct kh_usage last_usage; /* as PID 1 ended */
    bool frozen;                /* while it is RUNNING or SAVING */
    bool kept;                  /* and has a memory that is good while it is that */
    bool fresh;                 /* WAKING, and no sandbox yet: made from a snapshot */
    struct kh_hibernate *hibernate;
    struct kh_wake *wake;
    struct kh_rollback *rollback; /* STOPPING, to be what a snapshot holds */
    enum kh_box_later later;
    struct kh_box_waiter *waiters; /* in the order in which they came */
    uint64_t saved;                /* bytes of its memory on the disk; HIBERNATED */
    char problem[256];             /* why it could not hibernate or wake last; "" */
    struct kh_meter meter;         /* see metering.h */
    uint64_t metered_at;           /* when it was written, and */
    uint64_t disk_at;              /* when the disk was looked at; ms since the boot */
    uint64_t disk_used;            /* bytes of it then */
};

/* Makes a disk, starts the sandbox and writes its record. WISH has its name, image and
 * limits; FROM is the id of the snapshot that its disk begins as, or NULL. Nothing is
 * left on failure, nor when kernelhostd dies in between: without a record it is no
 * sandbox. */
int kh_box_create(struct kh_host *host, const struct kh_record *wish, const char *from,
                  struct kh_box **ret_box, struct kh_error *err);

/* One from a snapshot with memory. It exists when DONE hears of success; on failure
 * nothing is left of it. */
struct kh_snapshot;
int kh_box_copy(struct kh_host *host, const struct kh_record *wish,
                const struct kh_snapshot *snapshot,
                void (*done)(void *owner, const struct kh_error *err), void *owner,
                struct kh_box **ret_box, struct kh_error *err);

/* The same without a record: to the next host it is trash. RECORD has everything,
 * an id, too. */
int kh_box_make(struct kh_host *host, const struct kh_record *record, const char *from,
                struct kh_box **ret_box, struct kh_error *err);

/* Gives it a name that is free. */
void kh_box_rename(struct kh_box *box, const char *name);

/* Takes over a record found in the store: RUNNING, when its birth says so and the
 * process is there as it must be, else STOPPED. */
void kh_box_adopt(struct kh_host *host, const struct kh_record *record);

/* The sandbox with that name, or NULL. */
struct kh_box *kh_box_find(struct kh_host *host, const char *name);

int kh_box_start(struct kh_host *host, struct kh_box *box, struct kh_error *err);

/* Begin to stop, and with REMOVE also to delete. */
int kh_box_stop(struct kh_host *host, struct kh_box *box, bool remove,
                struct kh_error *err);

/* Its processes are on the disk, or on their way there or back. */
static inline bool
kh_box_sleeps(const struct kh_box *box)
{
    return box->phase == KH_BOX_SAVING || box->phase == KH_BOX_HIBERNATED ||
           box->phase == KH_BOX_WAKING;
}

/* WAITER->settled is called when it is neither SAVING nor WAKING any more. */
void kh_box_wait(struct kh_box *box, struct kh_box_waiter *waiter);

/* The host ends: what runs is stopped, what is hibernated stays. */
void kh_box_end(struct kh_box *box);
/* Changes the limits that are not 0 in LIMITS, whatever it does: all of them are in
 * force and in the record when this returns 0, and none otherwise. -EINVAL: the host
 * has not so much; -EBUSY with the figures: more is in use. (box_limit.c) */
int kh_box_limit(struct kh_host *host, struct kh_box *box,
                 const struct kh_limits *limits, struct kh_error *err);

/* Puts the limits of its record into force, after kernelhostd may have died between
 * the one and the other. */
void kh_box_enforce(struct kh_host *host, struct kh_box *box);

/* True for one that is being removed: its record is gone. */
static inline bool
kh_box_is_going(const struct kh_box *box)
{
    return box->phase == KH_BOX_REMOVING || box->remove;
}

/* Frees it and what is known of it; nothing on disk changes. */
void kh_box_forget(struct kh_host *host, struct kh_box *box);

/* A connected stream to kernelhost-init of a running box. */
int kh_box_connect(struct kh_box *box, struct kh_error *err);

#endif
