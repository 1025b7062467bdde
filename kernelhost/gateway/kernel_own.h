/* kernel_own: the inside of a kernel, shared by kernel.c (life and requests),
 * entries.c (the journal), publish.c (messages out), router.c (messages in) and
 * connect.c (endpoints). Nobody else includes it.
 */
#ifndef KH_GATEWAY_KERNEL_OWN_H
#define KH_GATEWAY_KERNEL_OWN_H

#include <time.h>

#include "base/buf.h"
#include "kernelhost/gateway/channels.h"
#include "kernelhost/gateway/coalesce.h"
#include "kernelhost/gateway/death.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/life.h"
#include "kernelhost/gateway/position.h"
#include "kernelhost/gateway/request.h"
#include "protocol/jupyter/connfile.h"
#include "protocol/link/init.h"

/* Requests that wait here, not in init, because the sandbox is not up. */
#define KH_HELD_MAX (64u * 1024 * 1024)

#define KH_REPLIES 256 /* that are looked after until they are written */

/* A reply that was given to libzmq. */
struct kh_owed_reply {
    uint64_t position;
    uint64_t since; /* ms */
    struct kh_route_mark to;
    enum kh_channel channel;
};

/* A kernel that an earlier gateway served: nothing of its journal is said until
 * the clients are back. */
struct kh_recovery {
    bool closed;   /* waiting for them */
    bool known;    /* an earlier gateway has noted it */
    bool stopped;  /* its sandbox does not run, or not any more what it was */
    bool welcomed; /* init has told of it */
    struct kh_kernel_held held;
    struct kh_timer *timer;
};

enum kh_bind { KH_BIND_IPC, KH_BIND_TCP, KH_BINDS };

struct kh_kernel {
    struct kh_kernel *next;
    struct kh_gateway *gateway;
    struct kh_sandbox *sandbox;
    struct kh_kernel_owner owner;
    bool owned; /* owner is set */
    uint32_t number;
    char id[KH_UUID_SIZE];
    char language[KH_LANGUAGE_SIZE];
    bool warm;      /* nobody has asked for it yet */
    bool returning; /* it died, and is about to be restarted */
    bool back;      /* its sandbox was rolled back, and init has not told of it yet */

    enum kh_life life;
    enum kh_init_type ordered; /* to send when a runner has joined; or 0 */
    bool attached;             /* init sends us its journal */
    bool fresh;  /* until it begins: what comes was of one before with its number */
    bool starts; /* until it was ready: some may come twice */
    bool restart_asked;                 /* while it was dying */
    uint64_t restarts[KH_RESTARTS_MAX]; /* when; a ring */
    unsigned restart_at;
    struct kh_death death;
    char death_reason[300];
    uint32_t oom_kills; /* of the sandbox, when last seen */
    struct kh_timer *reap;

    struct kh_origin origin; /* of this incarnation's messages */
    struct kh_buf info;      /* content of kernel_info_reply; empty: not READY */
    struct kh_requests *requests;
    struct kh_buf held;    /* frames for init when it can be reached */
    uint64_t last_request; /* the newest that began */
    unsigned running;      /* shell requests begun and not done */
    int64_t execution_count;
    struct timespec last_activity;

    struct kh_coalesce coalesce;
    struct kh_timer *flush;
    uint64_t seq;   /* of the newest entry taken; 0: none yet */
    uint64_t acked; /* told to init */
    size_t unacked; /* bytes taken since */
    bool in_entry;  /* entry SEQ is being taken, */
    uint32_t part;  /* and has led to so many messages */
    uint64_t skip;  /* iopub has what is up to this position */
    uint64_t owed;  /* a death of this entry has not been explained; 0: none */
    struct kh_timer *settle;
    struct kh_owed_reply *reply; /* a ring: maybe not written yet */
    unsigned reply_first, reply_count, reply_size;
    struct kh_ledger_request **done; /* in the order in which they were done */
    size_t done_count, done_size;
    unsigned holds; /* listeners that are behind */
    bool crowded;   /* the channels are behind */
    unsigned bad;   /* messages of the runner that were not published */

    struct kh_ledger_kernel *note; /* what outlives us of it */
    uint64_t work_put;             /* executions that the database knows of */
    struct kh_recovery recovery;

    struct kh_channels *channels;
    struct kh_connfile *file[KH_BINDS]; /* NULL: not bound that way */
    char prefix[KH_BINDS][KH_PREFIX_SIZE];
    struct kh_rebind *rebind;  /* what is not bound again yet, or NULL */
    char *file_path[KH_BINDS]; /* connection files written */
    struct kh_sink *sinks;
};

/* Who asked: where its answers go, and their parent. */
struct kh_asker {
    enum kh_channel channel;
    struct kh_slice header; /* raw */
    const struct kh_slice *ident;
    size_t ident_count;
    struct kh_sink *sink;
    uint64_t request; /* number, 0 when it is not in the table */
    struct kh_route_mark from;
};

/* kernel.c */

/* The one function that changes kernel->life. WHY is for LOSE. */
void kh_kernel_step(struct kh_kernel *kernel, enum kh_life_event event,
                    const char *why);

/* Takes a request of ASKER, which gets the error as a reply if it cannot be
 * taken. FRAME has its slices; the rest is filled in. */
void kh_kernel_take(struct kh_kernel *kernel, const struct kh_asker *asker,
                    const struct kh_schema *row, struct kh_frame *frame);

/* Answers every request, or only those that init was given: the others wait here
 * for the next interpreter. */
void kh_kernel_lose_requests(struct kh_kernel *kernel, bool all, const char *ename,
                             const char *why);

/* settle.c */

/* Acknowledges again if nobody is behind any more. */
void kh_kernel_pace(struct kh_kernel *kernel);

/* What follows is said of the next part of the entry that is being taken: its
 * position, or 0 between entries. */
uint64_t kh_kernel_position(struct kh_kernel *kernel);

/* A reply with a position was given to libzmq. */
void kh_kernel_replied(struct kh_kernel *kernel, const struct kh_asker *asker,
                       uint64_t position);

/* A request is over; what is known of it outlives us until that is settled. */
void kh_kernel_finish(struct kh_kernel *kernel, struct kh_request *request);
void kh_kernel_keep_done(struct kh_kernel *kernel, struct kh_ledger_request *note);

/* The same of all that are over: positions are of another journal from now on. */
void kh_kernel_forget_done(struct kh_kernel *kernel);
void kh_kernel_settle_init(struct kh_kernel *kernel);
void kh_kernel_settle_release(struct kh_kernel *kernel);

/* recover.c */

/* Takes up what an earlier gateway has noted, or begins notes. */
void kh_kernel_recover(struct kh_kernel *kernel, const char *id);
void kh_kernel_recover_release(struct kh_kernel *kernel);

/* The clients may be back now. */
void kh_kernel_recover_look(struct kh_kernel *kernel);

/* The link is up, as kh_kernel_up. True when that is all there is to do. */
bool kh_kernel_recover_up(struct kh_kernel *kernel, const struct kh_kernel_held *held);

/* True while nothing may be sent to init: whether it knows the kernel is not known
 * yet, or a restart comes first. What is asked meanwhile is kept. */
bool kh_kernel_recover_waits(const struct kh_kernel *kernel);

/* Its sandbox's init is asked to start it; and the entry that tells of a new
 * incarnation is being taken. */
void kh_kernel_note_spawn(struct kh_kernel *kernel);
void kh_kernel_note_begin(struct kh_kernel *kernel);

void kh_kernel_touch(struct kh_kernel *kernel);

/* inquest.c: the actions INQUIRE and JUDGE */
void kh_kernel_inquire(struct kh_kernel *kernel);
void kh_kernel_judge(struct kh_kernel *kernel);

/* rolled.c: one that is rolled back was dead at that time, and is that again. */
bool kh_kernel_is_back_dead(struct kh_kernel *kernel,
                            const struct kh_kernel_held *held);

/* publish.c */

struct kh_asker kh_asker_of(const struct kh_request *request);

/* Publishes on iopub to subscribers and sinks, after the text that is gathered.
 * REQUEST (0: none) gives the parent if PARENT is empty. */
void kh_tell(struct kh_kernel *kernel, uint64_t request, struct kh_slice parent,
             const char *msg_type, struct kh_slice metadata, struct kh_slice content,
             const struct kh_slice *buffer, size_t buffer_count);
void kh_tell_state(struct kh_kernel *kernel, const struct kh_asker *asker,
                   const char *execution_state);
void kh_tell_stderr(struct kh_kernel *kernel, uint64_t request, const char *text);

/* Replies to ASKER on its channel or sink. */
void kh_answer(struct kh_kernel *kernel, const struct kh_asker *asker,
               const char *msg_type, struct kh_slice metadata, struct kh_slice content,
               const struct kh_slice *buffer, size_t buffer_count);

/* A failed reply fitting ROW (none if the row has no reply). */
void kh_answer_failed(struct kh_kernel *kernel, const struct kh_asker *asker,
                      const struct kh_schema *row, const char *ename,
                      const char *evalue);

/* Everything a request that is in the table still has to hear (busy if it has
 * not begun, a reply, idle), and takes it out. ENAME NULL means aborted. */
void kh_answer_lost(struct kh_kernel *kernel, struct kh_request *request,
                    const char *ename, const char *evalue);

/* emit of kernel->coalesce; ARG is the kernel. */
void kh_emit_stream(void *arg, uint64_t request, enum kh_stream stream,
                    struct kh_slice text);

/* router.c */
void kh_route(struct kh_kernel *kernel, enum kh_channel channel,
              const struct kh_wire *wire, const struct kh_route_mark *from);

/* kernel.c: init sends the journal behind entry SEQ from now on; what waited here
 * goes to it; a start or a restart, and then what waited for that. */
void kh_kernel_attach(struct kh_kernel *kernel);
void kh_kernel_order(struct kh_kernel *kernel, enum kh_init_type type);
void kh_kernel_release_held(struct kh_kernel *kernel);

/* connect.c */

/* One try of kh_kernel_rebind. */
int kh_kernel_bind_again(struct kh_kernel *kernel, const struct kh_row_binding *row,
                         struct kh_error *err);
void kh_kernel_unbind(struct kh_kernel *kernel);

#endif
