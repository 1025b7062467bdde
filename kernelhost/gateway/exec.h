/* exec: a process that was started in a sandbox by EXEC, and its output.
 *
 * Owned by whoever started it until kh_exec_leave or `ended`; then by its sandbox
 * until it has really ended. Output is windowed: init sends no more than
 * KH_EXEC_WINDOW bytes that kh_exec_took has not confirmed.
 */
#ifndef KH_GATEWAY_EXEC_H
#define KH_GATEWAY_EXEC_H

#include "kernelhost/gateway/sandbox.h"
#include "protocol/link/runner.h"

struct kh_exec;

struct kh_exec_events {
    void (*output)(void *arg, enum kh_stream stream, struct kh_slice bytes);
    /* The last call. WHY is NULL and STATUS a wait status; or WHY says why it
     * could not be started or was lost. The exec is freed afterwards. */
    void (*ended)(void *arg, int status, const char *why);
    void *arg;
};

/* What to run: strings each ended by NUL. */
struct kh_exec_plan {
    struct kh_slice argv;
    struct kh_slice env;
    struct kh_slice cwd;
    struct kh_slice input; /* all of its standard input */
};

/* Starts it; the sandbox is up. */
int kh_exec_start(struct kh_gateway *gateway, struct kh_sandbox *sandbox,
                  const struct kh_exec_plan *plan, const struct kh_exec_events *events,
                  struct kh_exec **ret_exec, struct kh_error *err);

/* SIZE more bytes of output have been consumed. */
void kh_exec_took(struct kh_exec *exec, size_t size);

/* The owner goes away: the process gets SIGHUP, its further output is dropped and
 * no more events come. */
void kh_exec_leave(struct kh_exec *exec);

/* From the sandbox: a frame for it (an error breaks the link); the link is lost. */
uint64_t kh_exec_number(const struct kh_exec *exec);
int kh_exec_frame(struct kh_exec *exec, const struct kh_frame *frame,
                  struct kh_error *err);
void kh_exec_lost(struct kh_exec *exec, const char *why);

struct kh_exec *kh_exec_next(const struct kh_exec *exec);
void kh_exec_set_next(struct kh_exec *exec, struct kh_exec *next);

#endif
