/* init: frames between kernelhost-gateway and kernelhost-init (PID 1 inside).
 *
 * init listens on KH_INIT_SOCKET inside the sandbox, in a directory only it can
 * enter. kernelhostd connects and hands the stream to the gateway. One gateway
 * connection at a time: a new one replaces the old. doc/PROTOCOL.init is the
 * paper; this file is its table.
 *
 * JOURNAL. Everything a kernel says becomes an entry with a number (seq 1, 2,
 * 3... a kernel, never reused while init lives), kept until acknowledged. A
 * fresh connection gets nothing of a kernel until ATTACH says from where. At
 * KH_JOURNAL_BYTES unacknowledged bytes init stops reading that kernel's
 * runner and pipes, which then feel it; nothing is dropped.
 */
#ifndef KH_LINK_INIT_H
#define KH_LINK_INIT_H

#define KH_INIT_VERSION 1
#define KH_INIT_DIR     "/.kernelhost" /* the kit layer, inside */
#define KH_INIT_BINARY  "/.kernelhost/init"
#define KH_INIT_SOCKET  "/.kernelhost/run/init.sock" /* run: 0700 root inside */
#define KH_INIT_RUNNERS "/.kernelhost/runner"        /* /python/__main__.py ... */
#define KH_INIT_JOIN    "/.kernelhost/run/join.sock" /* for runners that join */

#define KH_JOURNAL_BYTES (8u * 1024 * 1024) /* per kernel; one frame more may pass */
#define KH_QUEUE_MAX     10000u             /* requests waiting a kernel */
#define KH_QUEUE_BYTES   (256u * 1024 * 1024)
#define KH_KERNELS_MAX   64u            /* kernels a sandbox */
#define KH_EXECS_MAX     256u           /* processes a sandbox by EXEC */
#define KH_EXEC_WINDOW   (1024u * 1024) /* unacknowledged output bytes */

/* Identity of code inside. */
#define KH_USER_UID  1000
#define KH_USER_GID  1000
#define KH_USER_HOME "/home/user"
#define KH_USER_CWD  "/workspace"

/* Its environment, as initializers of an array of strings; then what Python
 * runners have besides. A zygote has the same. */
#define KH_USER_ENV                                                                    \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",               \
        "HOME=/home/user", "USER=user", "LOGNAME=user", "LANG=C.UTF-8",                \
        "TERM=xterm-256color"
#define KH_PYTHON_ENV "MPLBACKEND=module://matplotlib_inline.backend_inline"
#define KH_PYTHON     "/usr/bin/python3"
/* Comes before that one, where an image has it. */
#define KH_PYTHON_LOCAL "/usr/local/bin/python3"

enum kh_init_type {
    /* gateway -> init */
    KH_INIT_HELLO = 1,          /* id: KH_INIT_VERSION; answered by HELLO */
    KH_INIT_KERNEL_START = 2,   /* kernel: 1..KH_KERNELS_MAX, unused; slices:
                                   kind ("python"), cwd ("" = /workspace), env
                                   ("K=V" each ended by NUL) */
    KH_INIT_KERNEL_RESTART = 3, /* kernel; queue is answered with LOST
                                   (KH_LOST_RESTART); a new incarnation starts.
                                   Also starts a dead kernel again. */
    KH_INIT_KERNEL_STOP = 4,    /* kernel: SHUTDOWN, then SIGKILL of its group
                                   after 2 s; its journal ends with STATE dead,
                                   after which the number may be used again */
    KH_INIT_REQUEST = 5,        /* kernel; id: rising, chosen by the gateway;
                                   flags and slices as KH_RUNNER_REQUEST.
                                   Queued; a repeated id is ignored */
    KH_INIT_INTERRUPT = 6,      /* kernel; id: only if this request runs, 0: any */
    KH_INIT_ACK = 7,            /* kernel; seq: entries up to it are freed */
    KH_INIT_ATTACH = 8,         /* kernel; seq: send entries after it, then live */
    KH_INIT_EXEC = 9,           /* id: chosen by the gateway; slices: argv, env
                                   (strings each ended by NUL), cwd */
    KH_INIT_EXEC_INPUT = 10,    /* id; slice 0: bytes; no slice: end of input */
    KH_INIT_EXEC_SIGNAL = 11,   /* id; flags: signal, to the process group */
    KH_INIT_EXEC_ACK = 12,      /* id; seq: output bytes consumed so far */
    KH_INIT_BYE = 13,           /* init closes the connection: it is to hibernate */

    /* init -> gateway */
    KH_INIT_WELCOME = 32, /* answer to HELLO; id: KH_INIT_VERSION; one slice a
                             kernel: u32 number, u32 state, u64 first seq still
                             held, u64 last seq, u64 highest id of a request
                             that was taken (little-endian) */
    KH_INIT_REFUSED = 33, /* the frame with this kernel and id was not accepted;
                             flags: its type; slice 0: why */
    /* journal entries: kernel and seq are set */
    KH_INIT_STATE = 64,   /* flags: enum kh_kernel_state; id: incarnation (1, 2...);
                             READY: slice 0 kernel_info content; DEAD: slice 0 u32
                             wait status as from waitpid, or 0xffffffff when the
                             runner could not be started (slice 1 says why) */
    KH_INIT_BEGIN = 65,   /* id: request handed to the runner (publish busy) */
    KH_INIT_PUBLISH = 66, /* as KH_RUNNER_PUBLISH */
    KH_INIT_STREAM = 67,  /* as KH_RUNNER_STREAM, and what came through the
                             pipes; raw bytes, maybe not UTF-8, maybe cut inside
                             a character; id: the running request, else the last */
    KH_INIT_REPLY = 68,   /* as KH_RUNNER_REPLY */
    KH_INIT_DONE = 69,    /* as KH_RUNNER_DONE (publish idle) */
    KH_INIT_LOST = 70,    /* id: request that will not run, or stopped running;
                             flags: enum kh_lost. No BEGIN may have come, and no
                             DONE will: the gateway answers it */
    /* process events */
    KH_INIT_EXEC_OUTPUT = 80, /* id; flags: enum kh_stream; slice 0: bytes */
    KH_INIT_EXEC_EXIT = 81,   /* id; seq: wait status, after all output; slice 0,
                                 if any: why it could not start (seq 0x7f00) */
};

enum kh_kernel_state {
    KH_KERNEL_STARTING = 1,
    KH_KERNEL_READY = 2,
    KH_KERNEL_DEAD = 3,
};

enum kh_lost {
    KH_LOST_ABORTED = 1, /* an earlier cell failed: status "aborted" */
    KH_LOST_DIED = 2,    /* the kernel died while it ran or waited */
    KH_LOST_RESTART = 3, /* the kernel was restarted */
    KH_LOST_FULL = 4,    /* the queue is full */
};

#endif
