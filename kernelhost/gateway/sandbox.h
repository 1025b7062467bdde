/* sandbox: one sandbox as the gateway sees it: its record, its init, its kernels.
 *
 * kernelhostd decides what exists; this object mirrors a record, starts the
 * sandbox when something is wanted of it, holds the link to its init, gives each
 * frame to the kernel or process it belongs to, and connects again when the link
 * is lost while the sandbox runs. A sandbox whose init breaks the protocol is
 * "broken": its link is closed and nothing else is affected.
 */
#ifndef KH_GATEWAY_SANDBOX_H
#define KH_GATEWAY_SANDBOX_H

#include "kernelhost/gateway/gateway.h"
#include "protocol/jupyter/uuid.h"
#include "protocol/link/broker.h"
#include "protocol/link/frame.h"

struct kh_sandbox;
struct kh_kernel;
struct kh_kernel_owner;
struct kh_exec;

/* ERR is NULL on success. The sandbox may be freed after a call with an error. */
typedef void kh_sandbox_fn(void *arg, const struct kh_error *err);

/* RECORD is an answer of kernelhostd about it (create, list). */
struct kh_sandbox *kh_sandbox_new(struct kh_gateway *gateway,
                                  const struct kh_broker_reply *record);

/* Ends link, kernels and processes' streams here; asks kernelhostd nothing. */
void kh_sandbox_free(struct kh_sandbox *sandbox);

const char *kh_sandbox_name(const struct kh_sandbox *sandbox);

/* The newest record; kh_sandbox_refresh replaces it. */
const struct kh_broker_reply *kh_sandbox_record(const struct kh_sandbox *sandbox);
void kh_sandbox_refresh(struct kh_sandbox *sandbox,
                        const struct kh_broker_reply *record);

/* Takes *FD (-1: nothing happens), a stream to the init of a sandbox that was made or
 * started just now. Such an init holds nothing yet: frames may go along with HELLO. */
void kh_sandbox_greet(struct kh_sandbox *sandbox, int *fd);

/* The same for one whose processes are those of a snapshot: its init tells which
 * kernels it has. FN as for kh_sandbox_up. */
void kh_sandbox_meet(struct kh_sandbox *sandbox, int *fd, kh_sandbox_fn *fn, void *arg);

/* REPLY is to the request that made or started it: whether a warm Python runner
 * waits inside. take tells so, once. */
void kh_sandbox_note_joined(struct kh_sandbox *sandbox,
                            const struct kh_broker_reply *reply);
bool kh_sandbox_take_joined(struct kh_sandbox *sandbox);

/* Makes the sandbox run and its init reachable, then calls FN (maybe before
 * returning). */
void kh_sandbox_up(struct kh_sandbox *sandbox, kh_sandbox_fn *fn, void *arg);

/* What was asked for with ARG is not answered any more. */
void kh_sandbox_forget(struct kh_sandbox *sandbox, const void *arg);

/* Ends its processes; the disk stays. FN as above. */
void kh_sandbox_stop(struct kh_sandbox *sandbox, kh_sandbox_fn *fn, void *arg);

/* kernelhostd was asked to remove it, or has failed to. */
void kh_sandbox_removing(struct kh_sandbox *sandbox, bool removing);

/* What a rollback has done, or was to do. */
struct kh_returned {
    char snapshot[KH_NAME_SIZE];
    bool memory;    /* the processes, too */
    unsigned ended; /* kernels that are not in it */
    char kernel[KH_BROKER_KERNELS][KH_UUID_SIZE];
    uint8_t ids[KH_BROKER_KERNELS][KH_ID_SIZE]; /* that it has, by number from 1 */
};

typedef void kh_return_fn(void *arg, const struct kh_returned *what,
                          const struct kh_error *err);

/* Makes it what its snapshot SNAPSHOT holds (sandbox_rollback.c). One that ran runs
 * when FN hears of it. -EBUSY while a cell or a process by exec runs; on an error it is
 * as it was, or (the text says so) rolled back and hibernated. */
void kh_sandbox_return(struct kh_sandbox *sandbox, const char *snapshot,
                       kh_return_fn *fn, void *arg);

enum kh_sleep {
    KH_SLEEP_FREEZE,
    KH_SLEEP_HIBERNATE,
    KH_SLEEP_SAVE,     /* its memory goes to the disk for a snapshot that FN asks for at
                          once; it is frozen, and goes on when something is wanted */
    KH_SLEEP_VOLATILE, /* the same, for a snapshot that need not survive a power cut */
};

/* Puts it to sleep now, whatever its ladder says. -EBUSY when a cell or a process
 * started by exec runs in it; FN hears of the end. */
void kh_sandbox_sleep(struct kh_sandbox *sandbox, enum kh_sleep how, kh_sandbox_fn *fn,
                      void *arg);

/* It runs and does not stand still, or is on its way there. */
bool kh_sandbox_is_awake(const struct kh_sandbox *sandbox);

/* Why it could not hibernate or wake when that was tried last, or NULL. */
const char *kh_sandbox_problem(const struct kh_sandbox *sandbox);

/* After how many idle seconds it sleeps, the host's defaults filled in. */
struct kh_ladder kh_sandbox_ladder(const struct kh_sandbox *sandbox);

#define KH_FREEZE_AFTER    30u /* seconds; what a record does not say */
#define KH_HIBERNATE_AFTER 600u

/* Its PID 1 ended with this wait status (kernelhostd says so). */
void kh_sandbox_exited(struct kh_sandbox *sandbox, const struct kh_broker_reply *reply);

/* Starts a Python kernel that nobody asked for yet, so that the first run finds
 * it ready. If that fails nobody hears of it. */
void kh_sandbox_warm(struct kh_sandbox *sandbox);

/* Sends a frame to init: -ENOTCONN when there is no link, -ENOBUFS when it is
 * crowded and the frame is not urgent. */
int kh_sandbox_send(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                    struct kh_error *err);
int kh_sandbox_send_urgent(struct kh_sandbox *sandbox, const struct kh_frame *frame,
                           struct kh_error *err);

/* Kernels, in order of their numbers. kh_sandbox_kernel finds by id. */
struct kh_kernel *kh_sandbox_kernels(struct kh_sandbox *sandbox);
struct kh_kernel *kh_sandbox_kernel(struct kh_sandbox *sandbox, const char *id);

/* A kernel of it that an earlier gateway has noted. -EINVAL when the note is of
 * another sandbox or makes no sense. */
struct kh_ledger_kernel;
int kh_sandbox_recover(struct kh_sandbox *sandbox, const struct kh_ledger_kernel *note);

/* Likewise one of which the database alone knows. */
struct kh_row_kernel;
int kh_sandbox_recover_row(struct kh_sandbox *sandbox, const struct kh_row_kernel *row);

/* The first usable kernel of a language, or a new one. OWNER as in kernel.h;
 * with FRESH always a new one. -EAGAIN when there are KH_KERNELS_MAX. */
int kh_sandbox_need_kernel(struct kh_sandbox *sandbox, const char *language, bool fresh,
                           const struct kh_kernel_owner *owner,
                           struct kh_kernel **ret_kernel, struct kh_error *err);

/* Called by kernel.c when a kernel is freed. */
void kh_sandbox_drop_kernel(struct kh_sandbox *sandbox, struct kh_kernel *kernel);

/* Processes (exec.c registers itself). -EAGAIN at KH_EXECS_MAX. */
int kh_sandbox_add_exec(struct kh_sandbox *sandbox, struct kh_exec *exec,
                        struct kh_error *err);
void kh_sandbox_drop_exec(struct kh_sandbox *sandbox, struct kh_exec *exec);

#endif
