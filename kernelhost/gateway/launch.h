/* launch: kernels that a KernelManager's launcher owns (`kernelhost kernel -f`).
 *
 * jupyter_client decides about their life: it expects the launcher to end when the
 * kernel shuts down, dies, or is to be restarted, and then runs it again with the
 * same connection file. So one launch is one connection, one sandbox, one kernel;
 * it outlives its launcher by KH_LAUNCH_LINGER_MS with the endpoints bound, and a
 * launcher that comes within that time with the same connection gets it again,
 * with a new interpreter.
 */
#ifndef KH_GATEWAY_LAUNCH_H
#define KH_GATEWAY_LAUNCH_H

#include <stdbool.h>

#include "kernelhost/gateway/gateway.h"
#include "protocol/jupyter/connfile.h"
#include "protocol/link/broker.h"

#define KH_LAUNCH_LINGER_MS 10000
#define KH_LAUNCHES_MAX     1024u

struct kh_launches;
struct kh_launch;

/* True for the name of a sandbox that belongs to a launcher: nobody else may make
 * one that is called so. */
bool kh_launch_owns(const char *name);

/* The name of the sandbox of a connection. */
void kh_launch_name(const struct kh_connfile *file, char ret_name[KH_NAME_SIZE]);

/* What a launcher hears: ready once, then ended once; or ended with an error.
 * After `ended` the launcher has no launch any more. */
struct kh_launch_events {
    /* FILE is where it is really bound (ipc: a place of ours). */
    void (*ready)(void *arg, const char *sandbox, const char *kernel_id,
                  const struct kh_connfile *file);
    /* REASON is "shutdown", "restart" or "died"; STATUS as of a shell. ERR is set
     * when it never became ready. */
    void (*ended)(void *arg, const char *reason, int status,
                  const struct kh_error *err);
    void *arg;
};

struct kh_launches *kh_launches_new(struct kh_gateway *gateway);
void kh_launches_free(struct kh_launches *launches);

/* The sandboxes of launchers of an earlier gateway linger from now on, with what runs
 * in them. */
void kh_launches_adopt(struct kh_launches *launches);

/* Starts, or takes over what an earlier launcher with this connection left.
 * EVENTS may be called before it returns 0, but not when it fails. RESUME: the launcher
 * had it all the time, and only we went away: the interpreter stays; -ENOENT when there
 * is none any more. */
int kh_launch_start(struct kh_launches *launches, const struct kh_connfile *file,
                    const char *image, const struct kh_limits *limits, bool resume,
                    const struct kh_launch_events *events,
                    struct kh_launch **ret_launch, struct kh_error *err);

/* The launcher has gone: nothing is told to it any more. */
void kh_launch_leave(struct kh_launch *launch);

#endif
