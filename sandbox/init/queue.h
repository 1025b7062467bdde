/* queue: the requests of one kernel, and the table of the kernel's states.
 *
 * Shell requests go to the runner one at a time and wait here until then;
 * control requests go at once (unless the runner is still starting). Both are
 * remembered until their DONE, so that the end of a runner can be told to each
 * of them. Ids rise; the queue knows the highest it accepted.
 *
 * The table says what a kernel does: [state][event] -> {next, action}. It is
 * the only place that decides; kernel.c performs the actions. doc/PROTOCOL.init
 * shows the same table, and a test compares the two. Pure: no I/O.
 */
#ifndef KH_INIT_QUEUE_H
#define KH_INIT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum kh_queue_state {
    KH_QUEUE_NONE,       /* no such kernel (its journal may still be held) */
    KH_QUEUE_STARTING,   /* the runner has not said READY */
    KH_QUEUE_IDLE,       /* no shell request runs */
    KH_QUEUE_BUSY,       /* one shell request runs */
    KH_QUEUE_DYING,      /* the runner ended or must end; what it wrote is read */
    KH_QUEUE_RESTARTING, /* it was told to end, and another one follows */
    KH_QUEUE_STOPPING,   /* it was told to end, and nothing follows */
    KH_QUEUE_ROLLING,    /* it is being killed, and a checkpoint follows */
    KH_QUEUE_RETURNING,  /* a checkpoint took its place and has not said READY */
    KH_QUEUE_DEAD,       /* no runner; a restart or a stop is awaited */
    KH_QUEUE_STATES
};

enum kh_queue_event {
    /* from the gateway */
    KH_QUEUE_START,
    KH_QUEUE_RESTART,
    KH_QUEUE_STOP,
    KH_QUEUE_SHELL,     /* a request came on the shell channel */
    KH_QUEUE_CONTROL,   /* a request came on the control channel */
    KH_QUEUE_INTERRUPT, /* for the request that runs */
    /* from the runner */
    KH_QUEUE_READY,
    KH_QUEUE_ERROR,  /* the running STOP_ON_ERROR execute request failed */
    KH_QUEUE_DONE,   /* the running shell request is done */
    KH_QUEUE_BROKEN, /* it broke the protocol */
    KH_QUEUE_CLOSED, /* it closed its socket */
    /* from init */
    KH_QUEUE_NEXT,     /* a shell request waits */
    KH_QUEUE_ROLLBACK, /* that is what the shell request whose turn it is asks for */
    KH_QUEUE_GRACE,    /* the time to end by itself is over */
    KH_QUEUE_ENDED,    /* the process was reaped */
    KH_QUEUE_DRAINED,  /* and everything it wrote is in the journal */
    KH_QUEUE_EVENTS
};

enum kh_queue_action {
    KH_QUEUE_DO_NOTHING,
    KH_QUEUE_DO_REFUSE,   /* REFUSED to the gateway */
    KH_QUEUE_DO_SPAWN,    /* kill what is left of the last session; STATE starting */
    KH_QUEUE_DO_ENQUEUE,  /* wait; NEXT */
    KH_QUEUE_DO_LOSE,     /* LOST(DIED) for this request */
    KH_QUEUE_DO_PASS,     /* BEGIN; to the runner at once */
    KH_QUEUE_DO_HAND,     /* BEGIN; the first waiting shell request to the runner */
    KH_QUEUE_DO_SIGNAL,   /* SIGINT */
    KH_QUEUE_DO_ANNOUNCE, /* STATE ready; waiting control requests; NEXT */
    KH_QUEUE_DO_ABORT,    /* mark the waiting execute requests aborted */
    KH_QUEUE_DO_FINISH,   /* DONE; LOST(ABORTED) for the marked; NEXT */
    KH_QUEUE_DO_RENEW,    /* LOST(RESTART) for the waiting; SHUTDOWN; grace */
    KH_QUEUE_DO_FORGET,   /* LOST(RESTART) for the waiting */
    KH_QUEUE_DO_SHUTDOWN, /* SHUTDOWN; grace */
    KH_QUEUE_DO_GRACE,    /* grace */
    KH_QUEUE_DO_KILL,     /* SIGKILL to the session */
    KH_QUEUE_DO_DRAIN,    /* read what is left; then DRAINED */
    KH_QUEUE_DO_BURY,     /* LOST(DIED) for all; STATE dead */
    KH_QUEUE_DO_REPLACE,  /* LOST(RESTART) for those handed over; as SPAWN */
    KH_QUEUE_DO_REMOVE,   /* as BURY; kill what is left of the session */
    KH_QUEUE_DO_ROLL,     /* SIGKILL to what began since the checkpoint */
    KH_QUEUE_DO_THAW,     /* the checkpoint becomes the runner; grace */
    KH_QUEUE_DO_RESUME,   /* the request, then waiting control requests, to it */
    KH_QUEUE_ACTIONS
};

struct kh_queue_step {
    enum kh_queue_state next;
    enum kh_queue_action action;
};

extern const struct kh_queue_step kh_queue_table[KH_QUEUE_STATES][KH_QUEUE_EVENTS];

/* Names as in doc/PROTOCOL.init. */
extern const char *const kh_queue_state_names[KH_QUEUE_STATES];
extern const char *const kh_queue_event_names[KH_QUEUE_EVENTS];
extern const char *const kh_queue_action_names[KH_QUEUE_ACTIONS];

struct kh_request {
    struct kh_request *next;
    uint64_t id;
    uint16_t flags;      /* enum kh_request_flag */
    bool aborted;        /* lost when the running one is done */
    bool replied;        /* its one REPLY came */
    size_t bytes;        /* counted until DONE */
    struct kh_buf frame; /* for the runner; empty once handed over */
};

struct kh_queue {
    struct kh_request *waiting; /* in order of arrival */
    struct kh_request **tail;   /* where the next one is put */
    struct kh_request *handed;  /* with the runner; newest first */
    uint64_t running;           /* id of the shell request with the runner, or 0 */
    uint64_t last;              /* highest id accepted */
    size_t count;               /* waiting and handed */
    size_t bytes;
};

/* True when one more request of SIZE bytes is within KH_QUEUE_MAX and
 * KH_QUEUE_BYTES. */
bool kh_queue_room(const struct kh_queue *queue, size_t size);

/* Appends a request; takes FRAME (left empty). */
void kh_queue_add(struct kh_queue *queue, uint64_t id, uint16_t flags,
                  struct kh_buf *frame);

/* Moves the first waiting request (of the control channel, if CONTROL, else of
 * shell) to those handed over and returns it; NULL when none waits. A shell
 * request becomes the running one. The queue still owns it. */
struct kh_request *kh_queue_hand(struct kh_queue *queue, bool control);

/* True when a shell request waits. */
bool kh_queue_waits(const struct kh_queue *queue);

/* A request that was handed over and is not done; NULL when ID is none. */
struct kh_request *kh_queue_find(const struct kh_queue *queue, uint64_t id);

/* Forgets a request that was handed over. */
void kh_queue_done(struct kh_queue *queue, uint64_t id);

/* Marks the execute requests that wait now as aborted. */
void kh_queue_abort(struct kh_queue *queue);

enum kh_queue_which {
    KH_QUEUE_ABORTED, /* waiting and marked */
    KH_QUEUE_WAITING,
    KH_QUEUE_HANDED,
};

/* Takes one such request out, the one with the lowest id first, so that the
 * caller tells its fate; NULL when there is none. The caller frees it. */
struct kh_request *kh_queue_take(struct kh_queue *queue, enum kh_queue_which which);

void kh_request_free(struct kh_request *request);
void kh_queue_release(struct kh_queue *queue);

#endif
