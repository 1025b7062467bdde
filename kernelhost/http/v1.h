/* v1: the handlers of the native API (doc/api.md), one file a noun, and what they
 * share. A handler gets a call and owns its request (server.h).
 */
#ifndef KH_HTTP_V1_H
#define KH_HTTP_V1_H

#include <jansson.h>

#include "kernelhost/gateway/gateway.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/sandbox.h"
#include "kernelhost/http/server.h"

#define KH_V1_ID_SIZE 64

/* One request that matched a route. name, id and item are the route's NAME, ID and ITEM
 * ("" if it has none); body is an object, empty when none was sent, and valid only
 * during the handler. */
struct kh_v1_call {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    char name[KH_NAME_SIZE]; /* not checked */
    char id[KH_V1_ID_SIZE];
    char item[KH_V1_ID_SIZE];
    const json_t *body;
};

typedef void kh_v1_handler(const struct kh_v1_call *call);

/* v1_sandboxes.c */
kh_v1_handler kh_v1_health, kh_v1_images, kh_v1_list, kh_v1_create, kh_v1_ensure,
    kh_v1_show, kh_v1_remove, kh_v1_start, kh_v1_stop;
/* v1_sleep.c */
kh_v1_handler kh_v1_sleep, kh_v1_wake, kh_v1_ladder;
/* v1_kernels.c */
kh_v1_handler kh_v1_kernels, kh_v1_kernel_new, kh_v1_kernel_remove,
    kh_v1_kernel_interrupt, kh_v1_kernel_restart, kh_v1_connect;
/* v1_snapshots.c, v1_fork.c */
kh_v1_handler kh_v1_snapshots, kh_v1_snapshot_new, kh_v1_snapshot_show,
    kh_v1_snapshot_remove, kh_v1_snapshot_adopt, kh_v1_fork;
/* v1_checkpoints.c */
kh_v1_handler kh_v1_checkpoints, kh_v1_checkpoint_new, kh_v1_checkpoint_remove,
    kh_v1_checkpoint_rollback;
/* v1_rollback.c */
kh_v1_handler kh_v1_points, kh_v1_point_new, kh_v1_rollback;
/* v1_limits.c, v1_usage.c, metrics.c */
kh_v1_handler kh_v1_limit, kh_v1_usage, kh_v1_metrics;
/* v1_run.c, v1_exec.c, v1_launch.c */
kh_v1_handler kh_v1_run, kh_v1_exec, kh_v1_launch;

/* Answers (v1.c). A reply takes the reference to BODY. */
void kh_v1_reply(struct kh_http_request *request, unsigned status, json_t *body);
void kh_v1_empty(struct kh_http_request *request);
void kh_v1_fail(struct kh_http_request *request, unsigned status, const char *code,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The status and code that fit the errno value in *ERR. */
void kh_v1_error(struct kh_http_request *request, const struct kh_error *err);

/* The same as an object, for one of several results. */
json_t *kh_v1_error_json(const struct kh_error *err);

/* The sandbox or kernel that the call names; answers 404 and returns NULL when
 * there is none. */
struct kh_sandbox *kh_v1_sandbox(const struct kh_v1_call *call);

/* What was asked of the sandbox NAME is done: the sandbox; or NULL, and REQUEST is
 * answered, when that failed (ERR, or its code, is not none) or it is gone meanwhile.
 */
struct kh_sandbox *kh_v1_outcome(struct kh_gateway *gateway,
                                 struct kh_http_request *request, const char *name,
                                 const struct kh_error *err);
struct kh_kernel *kh_v1_kernel(const struct kh_v1_call *call);

/* True if a new sandbox may have this name; answers 400 else. */
bool kh_v1_may_name(const struct kh_v1_call *call, const char *name);

/* What a new sandbox is to be, from "image" and the limits of an object. IMAGE ""
 * stands for the host's preset. */
int kh_v1_read_new(const json_t *object, const char **ret_image,
                   struct kh_limits *ret_limits, struct kh_error *err);

/* A text field: PRESET when it is absent or null; -EINVAL when it is no string,
 * longer than MAX or holds a NUL. kh_v1_flag: likewise for true and false. */
int kh_v1_text(const json_t *body, const char *name, size_t max, const char *preset,
               const char **ret_text, struct kh_error *err);
int kh_v1_flag(const json_t *body, const char *name, bool preset, bool *ret_flag,
               struct kh_error *err);

/* "python" for what a client may call it; NULL for no language of ours. */
const char *kh_v1_language(const char *name);

/* Seconds since 1970 and a number of bytes; null for 0. */
json_t *kh_v1_date(uint64_t seconds);
json_t *kh_v1_size(uint64_t bytes);
void kh_v1_id_text(const uint8_t id[KH_ID_SIZE], char out[2 * KH_ID_SIZE + 1]);

/* Objects as doc/api.md shows them. */
json_t *kh_v1_sandbox_json(struct kh_sandbox *sandbox);
json_t *kh_v1_kernel_json(const struct kh_kernel *kernel);
json_t *kh_v1_kernels_json(struct kh_sandbox *sandbox);

json_t *kh_v1_snapshot_json(const struct kh_broker_reply *reply);

/* Answers with the snapshots of the sandbox of that name ("": all); with its id, BOX,
 * as checkpoints: those of one that had its name before are left out. */
void kh_v1_snapshots_list(const struct kh_v1_call *call, const char *sandbox,
                          const uint8_t *box);

/* Has a snapshot taken, or adopted, and answers with it. */
void kh_v1_snapshot_make(struct kh_gateway *gateway, struct kh_http_request *http,
                         const struct kh_broker_request *request);

/* A state in a word. */
const char *kh_v1_state(uint32_t state);

/* Finds the kernel that a body names ("kernel", "language") or needs one, with the
 * sandbox up. The error is as for kh_v1_error. */
int kh_v1_need_kernel(struct kh_sandbox *sandbox, const char *id, const char *language,
                      struct kh_kernel **ret_kernel, struct kh_error *err);

#endif
