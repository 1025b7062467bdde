/* runner: the process of one kernel, its socket and its two output pipes.
 *
 * Embedded in a kernel of kernelhost-init. Speaks protocol/link/runner.h: takes
 * frames and text in their order (see merge.h) and passes them to its owner one
 * by one, never more than the owner has room for; while there is none, nothing
 * is read and the runner feels it. Knows nothing of requests and states.
 *
 * The bytes come from a hostile process. Each turn reads at most 64 KiB a
 * descriptor, a frame is bounded by KH_FRAME_MAX, and the text before a frame by
 * what pipes can hold; what does not decode is reported as broken, once.
 */
#ifndef KH_INIT_RUNNER_H
#define KH_INIT_RUNNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/link/frame.h"
#include "protocol/link/runner.h"
#include "sandbox/init/ends.h"
#include "sandbox/init/loop.h"
#include "sandbox/init/output.h"

struct kh_runner_ops {
    /* False: take nothing more now; kh_runner_resume follows. */
    bool (*room)(void *owner);
    void (*text)(void *owner, enum kh_stream stream, struct kh_slice text);
    /* -EBADMSG with a text ends the runner (broken is called). */
    int (*frame)(void *owner, const struct kh_frame *frame, struct kh_error *err);
    void (*broken)(void *owner, const char *why);
    void (*closed)(void *owner);  /* the end of its socket, after all frames */
    void (*drained)(void *owner); /* once, after kh_runner_ended */
};

struct kh_runner {
    const struct kh_runner_ops *ops;
    void *owner;
    pid_t pid;     /* of the process, which leads its session; 0: none yet */
    bool ended;    /* it was reaped */
    bool draining; /* drained was not told yet */
    bool mute;     /* broken: its frames are not read any more */
    bool shut;     /* closed was told */
    int error_fd;  /* of kh_spawn; -1 */
    struct kh_source sock;
    size_t left;     /* of the socket, as in struct kh_output */
    uint64_t frames; /* taken from the socket */
    struct kh_buf rx, tx;
    struct kh_output out[2]; /* stdout, stderr */
};

/* What to run: a row of the table of kinds, and what the client chose. */
struct kh_runner_plan {
    const char *kind;
    bool plain; /* the client chose neither directory nor environment */
    char *const *argv;
    char *const *env;
    const char *cwd;
    bool keep_user;
};

/* Before the first use. */
void kh_runner_init(struct kh_runner *runner, const struct kh_runner_ops *ops,
                    void *owner);

/* Takes a process that waits (warm.h) or starts one. The earlier one must have been
 * drained. */
int kh_runner_start(struct kh_runner *runner, const struct kh_runner_plan *plan,
                    struct kh_error *err);

/* Sends frames, already encoded, as the runner reads. The owner bounds them.
 * Nothing happens when the socket is closed. */
void kh_runner_send(struct kh_runner *runner, const struct kh_buf *frames);

/* Sends frames, already encoded, with a descriptor, which the caller keeps. False when
 * the runner does not take them at once: then nothing was sent. */
bool kh_runner_pass(struct kh_runner *runner, const struct kh_buf *frames, int fd);

/* Takes process PID, which has the other ends of ENDS, in place of the earlier one. */
void kh_runner_adopt(struct kh_runner *runner, const struct kh_ends *ends, pid_t pid);

/* Takes what can be taken now: after room was made, or before a decision that
 * depends on what the runner has already said. May call any function of ops. */
void kh_runner_resume(struct kh_runner *runner);

/* The process was reaped: what its descriptors hold at this moment is read (not
 * what its children go on writing), then drained is called. */
void kh_runner_ended(struct kh_runner *runner);

/* When waiting text is due (KH_NEVER), and passing on what is due. */
uint64_t kh_runner_due(const struct kh_runner *runner);
void kh_runner_tick(struct kh_runner *runner, uint64_t now);

/* Signals to the process group, while the process is not reaped. */
void kh_runner_signal(const struct kh_runner *runner, int signal);

#endif
