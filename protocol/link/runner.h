/* runner: frames between kernelhost-init and a runner (an interpreter).
 *
 * Inside the sandbox. The runner has: fd 0 /dev/null; fds 1 and 2 pipes that
 * init reads; fd 3 a stream socket to init that carries these frames.
 * doc/PROTOCOL.runner is the paper; this file is its table.
 *
 * ORDER. Text that reaches fds 1 and 2 by any road (a C extension, a child
 * process) and frames must keep their order. So right before EVERY frame the
 * runner writes one marker into its own duplicates of both pipes:
 *
 *     nonce (16 bytes, from HELLO) then u64 counter (1, 2, 3... a frame)
 *
 * in one write(2) each, which PIPE_BUF makes atomic. When init reads a frame it
 * first takes from both pipes all bytes before that marker. Nothing can then
 * arrive after the DONE of its cell but what a process left running in the
 * background writes later. A runner that sees both pipes empty sends the time
 * instead (the frame's seq), and no markers.
 */
#ifndef KH_LINK_RUNNER_H
#define KH_LINK_RUNNER_H

#define KH_RUNNER_VERSION 2
#define KH_RUNNER_FD      3 /* the socket's number in the runner */
#define KH_MARKER_NONCE   16
#define KH_MARKER_SIZE    24

enum kh_runner_type {
    /* init -> runner */
    KH_RUNNER_HELLO = 1,    /* id: KH_RUNNER_VERSION; slice 0: nonce */
    KH_RUNNER_REQUEST = 2,  /* id: request; flags: enum kh_request_flag; slices:
                               header, parent_header, metadata, content (JSON
                               objects), then buffers. One shell request at a
                               time; control requests at any moment. */
    KH_RUNNER_SHUTDOWN = 3, /* finish and exit 0; killed after a grace period */
    KH_RUNNER_FORK = 4,     /* answer to FORKS; id: number of the checkpoint; slice 0:
                               u64, that of the one that goes for it (0: none); with a
                               descriptor, the connection of the checkpoint. Without
                               one it cannot be */
    KH_RUNNER_RESEED = 5,   /* slice 0: 64 bytes. It is a copy (its sandbox was
                               forked): what draws random numbers begins anew; with
                               the flag KH_RESEED_SECRETS (it was rolled back) only
                               what secrets are drawn from */

    /* runner -> init */
    KH_RUNNER_READY = 16,   /* slice 0: content of kernel_info_reply (JSON) */
    KH_RUNNER_PUBLISH = 17, /* an iopub message. id: its request (0: none);
                               slices: msg_type, metadata, content, buffers */
    KH_RUNNER_STREAM = 18,  /* id: request; flags: enum kh_stream; slice 0:
                               UTF-8 text of a print or warning */
    KH_RUNNER_REPLY = 19,   /* id: request; flags: KH_REPLY_ERROR; slices:
                               msg_type, metadata, content, buffers */
    KH_RUNNER_DONE = 20,    /* id: request; everything of it has been sent.
                               Exactly one a request, after its REPLY if it
                               has one (unknown types and comms have none) */
    KH_RUNNER_FORKS = 21,   /* it is about to fork a checkpoint; only while a request
                               with KH_REQUEST_CHECKPOINT runs */
};

#define KH_RESEED_SECRETS 1u

enum kh_stream {
    KH_STREAM_STDOUT = 1,
    KH_STREAM_STDERR = 2,
};

enum kh_request_flag {
    KH_REQUEST_CONTROL = 1,       /* came on the control channel */
    KH_REQUEST_EXECUTE = 2,       /* msg_type is execute_request */
    KH_REQUEST_STOP_ON_ERROR = 4, /* an error aborts the execute requests
                                     that are queued when it is replied */
    /* About checkpoints; at most one of these, and not of the two above. Slice 4 of
     * ROLLBACK and FORGET is the number, a u64. */
    KH_REQUEST_CHECKPOINT = 8,   /* shell: the runner forks one */
    KH_REQUEST_ROLLBACK = 16,    /* shell: a checkpoint takes the runner's place, and
                                    answers */
    KH_REQUEST_CHECKPOINTS = 32, /* control: init lists them */
    KH_REQUEST_FORGET = 64,      /* control: init ends one */
};

/* A runner that joined: a process that a zygote made (sandbox/runner/zygote), a
 * child of init all the same. It connects to KH_INIT_JOIN (SEQPACKET, one frame a
 * message), confined and warm, is started, and waits to be claimed by a kernel. */
enum kh_joined_type {
    KH_JOINED_HELLO = 32, /* runner -> init; slice 0: kind ("python") */
    KH_JOINED_START = 33, /* init -> runner, once; id: sizeof(struct kh_error);
                             slices: cwd, env ("K=V" strings, each ended by NUL);
                             four descriptors: those it would find as 1, 2 and 3,
                             and a pipe for a struct kh_error. Then as any runner */
};

/* A checkpoint: a copy of a runner that waits to take its place. It speaks over what
 * came with KH_RUNNER_FORK (SEQPACKET, one frame a message). */
enum kh_frozen_type {
    KH_FROZEN_HELLO = 34, /* it -> init; slice 0: what it is (a JSON object) */
    KH_FROZEN_COPY = 35,  /* init -> it: fork another one like you; one descriptor, the
                             connection of that one, which says HELLO there */
    KH_FROZEN_THAW = 36,  /* init -> it, once: be the runner; three descriptors, as 1,
                             2 and 3 of KH_JOINED_START */
};

#define KH_CHECKPOINTS_MAX  16u          /* a kernel; above, the oldest goes */
#define KH_CHECKPOINT_ABOUT (16u * 1024) /* bytes of what one is, at most */

/* Above, a kernel is started in the ordinary way. */
#define KH_JOINED_MAX (64u * 1024)

/* The exit status of a runner that cannot begin: the image's interpreter lacks a
 * package that the runner stands on. The last line on its fd 2 names it. */
#define KH_RUNNER_UNFIT 78

#define KH_REPLY_ERROR 1 /* content.status is "error" */

/* INTERRUPT is a signal, not a frame: init sends SIGINT to the runner's process
 * group, and only while a shell request is running. The runner ignores it when
 * no cell runs (a signal that comes late must not hit the next cell). */

#endif
