/* kernel: one interpreter in a sandbox, as Jupyter clients know it.
 *
 * Owned by its sandbox; freed when it was shut down. Takes requests from its
 * channels (router.c) and from sinks (HTTP), numbers them, gives them to init,
 * reads the journal that comes back (entries.c) and publishes it to everybody
 * who listens (publish.c). What a request was promised it gets: when the
 * interpreter dies, the sandbox stops or a restart comes between, the gateway
 * answers. life.h is the table of its states.
 */
#ifndef KH_GATEWAY_KERNEL_H
#define KH_GATEWAY_KERNEL_H

#include <stdbool.h>

#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/message.h"
#include "kernelhost/gateway/sandbox.h"
#include "protocol/jupyter/header.h"
#include "protocol/jupyter/schema.h"
#include "protocol/jupyter/uuid.h"

#define KH_LANGUAGE_SIZE 33

/* Restarts after a death within KH_RESTART_WINDOW_MS before the kernel stays
 * dead. */
#define KH_RESTARTS_MAX      5
#define KH_RESTART_WINDOW_MS 60000

/* Who decides over a kernel that a launcher started (launch.h). Without an owner
 * the gateway restarts it in place by itself. */
struct kh_kernel_owner {
    /* A client asked for shutdown; the reply is on its way. */
    void (*shutdown)(void *arg, bool restart);
    /* It died; everything has been said. STATUS is a wait status or
     * KH_STATUS_UNKNOWN. */
    void (*died)(void *arg, uint32_t status);
    /* The kernel is being freed. */
    void (*gone)(void *arg);
    void *arg;
};

/* A kernel numbered NUMBER in its sandbox, not started: kh_kernel_up or the first
 * request does that. It is the one that an earlier gateway noted under this number, if
 * there is one (recover.h); else a new one, with ID or, for NULL, one that is made. */
struct kh_kernel *kh_kernel_new(struct kh_gateway *gateway, struct kh_sandbox *sandbox,
                                uint32_t number, const char *id, const char *language,
                                const struct kh_kernel_owner *owner);
void kh_kernel_free(struct kh_kernel *kernel);

/* One that an earlier gateway has noted gets its owner back. */
void kh_kernel_own(struct kh_kernel *kernel, const struct kh_kernel_owner *owner);

const char *kh_kernel_id(const struct kh_kernel *kernel);
uint32_t kh_kernel_number(const struct kh_kernel *kernel);
const char *kh_kernel_language(const struct kh_kernel *kernel);
struct kh_sandbox *kh_kernel_sandbox(const struct kh_kernel *kernel);
bool kh_kernel_usable(const struct kh_kernel *kernel); /* not going away */

/* Something is under way: it starts, or a request runs or waits. */
bool kh_kernel_works(const struct kh_kernel *kernel);

/* What the API shows. */
struct kh_kernel_view {
    const char *execution_state; /* starting, idle, busy, dead */
    char last_activity[KH_DATE_SIZE];
    unsigned connections;
    int64_t execution_count;
};
void kh_kernel_view(const struct kh_kernel *kernel, struct kh_kernel_view *ret_view);

/* Lets a kernel that is not running start. Its sandbox must be up. */
void kh_kernel_start(struct kh_kernel *kernel);

/* One that nobody asked for yet vanishes silently if it cannot start. */
void kh_kernel_set_warm(struct kh_kernel *kernel);

/* True, once, for a kernel that nobody has asked for yet: it is the caller's. */
bool kh_kernel_claim(struct kh_kernel *kernel);

/* A request for the kernel. SINK gets its reply and every iopub message until it
 * is taken off. -ECANCELED when the kernel is dead, -ENOBUFS when too much waits.
 * HEADER is raw JSON; PARENT and METADATA may be empty. *ret_number (may be NULL)
 * is the request's number in the messages. */
int kh_kernel_submit(struct kh_kernel *kernel, struct kh_sink *sink,
                     const struct kh_schema *row, unsigned flags,
                     struct kh_slice header, struct kh_slice content,
                     uint64_t *ret_number, struct kh_error *err);

/* Likewise a request of the gateway's own about checkpoints (enum kh_request_flag):
 * CHECKPOINT has CONTENT, ROLLBACK and FORGET a CHECKPOINT's number. */
int kh_kernel_ask(struct kh_kernel *kernel, struct kh_sink *sink, const char *msg_type,
                  unsigned flags, struct kh_slice content, uint64_t checkpoint,
                  uint64_t *ret_number, struct kh_error *err);

/* True while an interpreter runs or starts; and while it executes a cell. */
bool kh_kernel_runs(const struct kh_kernel *kernel);
bool kh_kernel_executes(const struct kh_kernel *kernel);

/* Takes up a request that SINK's client has submitted to an earlier gateway: SINK gets
 * what comes after its position `after`. -ENOENT when it never got to the kernel,
 * -EBUSY when its output went elsewhere. */
int kh_kernel_resume(struct kh_kernel *kernel, struct kh_sink *sink,
                     uint64_t *ret_number, struct kh_error *err);

void kh_kernel_listen(struct kh_kernel *kernel, struct kh_sink *sink);
void kh_kernel_unlisten(struct kh_kernel *kernel, struct kh_sink *sink);

/* A listener is behind: init keeps what follows until as many calls with false
 * as with true have come. */
void kh_kernel_hold(struct kh_kernel *kernel, bool hold);

void kh_kernel_interrupt(struct kh_kernel *kernel);
void kh_kernel_restart(struct kh_kernel *kernel);

/* Shuts it down; it is freed later. Its sinks hear `gone`. */
void kh_kernel_stop(struct kh_kernel *kernel);

/* Binds its endpoints where FILE says (see kh_channels_bind) if they are not
 * bound that way yet; FILE's key is filled in unless it has one and nothing is
 * bound. One place each for ipc and tcp: -EBUSY when it is bound elsewhere.
 * *ret_file is a view of what is bound. */
struct kh_connfile;
int kh_kernel_bind(struct kh_kernel *kernel, const struct kh_connfile *file,
                   const char *bind_prefix, const struct kh_connfile **ret_file,
                   struct kh_error *err);

/* Fills in an ipc place of our own for a kernel's sockets: FILE gets what clients
 * see, RET_PREFIX what kh_kernel_bind binds. */
int kh_kernel_own_place(const struct kh_gateway *gateway, struct kh_connfile *file,
                        char ret_prefix[KH_PREFIX_SIZE], struct kh_error *err);

/* Binds and publishes a connection file; its public path is put into RET_PATH
 * (PATH_MAX bytes). */
int kh_kernel_connect(struct kh_kernel *kernel, bool tcp, const char *ip,
                      char *ret_path, struct kh_error *err);

/* Binds again where an earlier gateway had bound it, maybe a little later if somebody
 * else has the place just now; and what hinders it if that takes long, or NULL. */
void kh_kernel_rebind(struct kh_kernel *kernel, const struct kh_row_binding *row);
const char *kh_kernel_problem(const struct kh_kernel *kernel);

/* From the sandbox. entry: one journal frame; an error breaks the link. batch:
 * acknowledge what was taken. */
int kh_kernel_entry(struct kh_kernel *kernel, const struct kh_frame *frame,
                    struct kh_error *err);
void kh_kernel_batch(struct kh_kernel *kernel);
void kh_kernel_refused(struct kh_kernel *kernel, const struct kh_frame *frame);

/* What init says of a kernel that it knows: its state, the numbers of its journal, and
 * the newest request it has taken. */
struct kh_kernel_held {
    uint32_t state;
    uint64_t first, last, accepted;
};

/* The link is up. HELD: init knows this kernel (a new link to a running sandbox);
 * NULL: it starts if it is wanted. */
void kh_kernel_up(struct kh_kernel *kernel, const struct kh_kernel_held *held);

/* The link is gone; it may come back. */
void kh_kernel_detached(struct kh_kernel *kernel);

/* The sandbox could not be woken: what is wanted of the kernel fails, and the kernel
 * sleeps on. */
void kh_kernel_sleeps_on(struct kh_kernel *kernel, const char *why);

/* The sandbox does not run any more, WHY says it in words. */
void kh_kernel_down(struct kh_kernel *kernel, const char *why);

/* rolled.c: its sandbox is rolled back. note_ids puts its id among those that a
 * snapshot is told. doom notes, before it is asked for, whether it is none of IDS
 * (NULL: the question is void), and is_doomed tells when that has come about: it is
 * expelled then, freed, its clients told. For all others kh_kernel_rolled_back comes
 * before init tells of them. */
void kh_kernel_note_ids(const struct kh_kernel *kernel,
                        uint8_t ids[KH_BROKER_KERNELS][KH_ID_SIZE]);
void kh_kernel_doom(struct kh_kernel *kernel, const uint8_t (*ids)[KH_ID_SIZE]);
bool kh_kernel_is_doomed(const struct kh_kernel *kernel);
void kh_kernel_expel(struct kh_kernel *kernel, const char *why);
void kh_kernel_rolled_back(struct kh_kernel *kernel, const char *why);

struct kh_kernel *kh_kernel_next(const struct kh_kernel *kernel);
void kh_kernel_set_next(struct kh_kernel *kernel, struct kh_kernel *next);

#endif
