/* checkpoint: the copies of a kernel's runner that wait to take its place.
 *
 * Embedded in a kernel of kernelhost-init. A checkpoint is a process that the runner
 * forked: frozen, our child, the leader of a session of its own; and, so that it can be
 * returned to again and at once, a second one like it, which the first forks when
 * nobody waits for the kernel any more. They speak enum kh_frozen_type over sockets
 * that we made, and are as hostile as any runner. They go with the kernel, at its
 * restart and at its death.
 *
 * Who a process is the kernel says (SCM_CREDENTIALS), not the process. One that says
 * hello in the place of another is killed, or made the runner, in its place: all of
 * them are children of ours and the same user's.
 */
#ifndef KH_INIT_CHECKPOINT_H
#define KH_INIT_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/link/runner.h"
#include "sandbox/init/loop.h"
#include "sandbox/init/runner.h"
#include "sandbox/init/session.h"

/* A process that waits. */
struct kh_frozen {
    struct kh_source source; /* to it; fd -1: none */
    pid_t pid;               /* 0: it has not said hello */
};

struct kh_checkpoint {
    uint64_t number;               /* 0: free */
    struct kh_frozen frozen[2];    /* either will do */
    uint64_t due;                  /* when there are to be two; KH_NEVER */
    struct kh_buf about;           /* what the runner says of it; JSON, not checked */
    struct kh_session_birth birth; /* of the first of them */
    struct kh_checkpoints *set;
};

/* Zero-initialised. The slots come with the first checkpoint and stay. */
struct kh_checkpoints {
    struct kh_checkpoint *slot; /* KH_CHECKPOINTS_MAX and the one being made */
    uint64_t last;              /* the highest number given */
};

/* The runner is about to fork: *RET_FD is the connection for the new process (the
 * caller closes it), *ret_number what the checkpoint will be, *ret_dropped the one that
 * will go for it, or 0. One that was begun before and never said hello is given up. */
int kh_checkpoints_begin(struct kh_checkpoints *set, int *ret_fd, uint64_t *ret_number,
                         uint64_t *ret_dropped, struct kh_error *err);

/* One that can be returned to, or NULL. What was said to us already counts. */
struct kh_checkpoint *kh_checkpoints_find(struct kh_checkpoints *set, uint64_t number);

/* Lets its process be RUNNER from now on, which has drained; another process will wait
 * in its place. -EPIPE when it is gone. */
int kh_checkpoint_thaw(struct kh_checkpoint *checkpoint, struct kh_runner *runner,
                       struct kh_error *err);

/* Ends it. */
void kh_checkpoint_drop(struct kh_checkpoint *checkpoint);

/* Ends all of them. */
void kh_checkpoints_drop(struct kh_checkpoints *set);

/* Whether one is being forked. */
bool kh_checkpoints_fork(const struct kh_checkpoints *set);

/* When to call tick next; KH_NEVER. */
uint64_t kh_checkpoints_due(const struct kh_checkpoints *set);
void kh_checkpoints_tick(struct kh_checkpoints *set, uint64_t now);

/* A process was reaped. */
void kh_checkpoints_ended(struct kh_checkpoints *set, pid_t pid);

/* Appends {"status": "ok", "checkpoints": [{"id": 1, "about": {...}}...]}, the oldest
 * first. */
void kh_checkpoints_list(struct kh_checkpoints *set, struct kh_buf *out);

#endif
