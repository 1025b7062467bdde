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
#include "kernelhost/gateway/life.h"
#include "kernelhost/gateway/request.h"
#include "protocol/jupyter/connfile.h"
#include "protocol/link/init.h"

/* Requests that wait here, not in init, because the sandbox is not up. */
#define KH_HELD_MAX (64u * 1024 * 1024)

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

    enum kh_life life;
    enum kh_init_type ordered;          /* to send when a runner has joined; or 0 */
    bool attached;                      /* init sends us its journal */
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
    unsigned holds; /* listeners that are behind */
    bool crowded;   /* the channels are behind */
    unsigned bad;   /* messages of the runner that were not published */

    struct kh_channels *channels;
    struct kh_connfile *file[KH_BINDS]; /* NULL: not bound that way */
    char *file_path[KH_BINDS];          /* connection files written */
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

/* Acknowledges again if nobody is behind any more. */
void kh_kernel_pace(struct kh_kernel *kernel);
void kh_kernel_touch(struct kh_kernel *kernel);

/* inquest.c: the actions INQUIRE and JUDGE */
void kh_kernel_inquire(struct kh_kernel *kernel);
void kh_kernel_judge(struct kh_kernel *kernel);

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
              const struct kh_wire *wire);

/* connect.c */
void kh_kernel_unbind(struct kh_kernel *kernel);

#endif
