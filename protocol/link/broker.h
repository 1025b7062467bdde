/* broker: what kernelhost-gateway may ask of kernelhostd, and nothing else.
 *
 * Over a Unix SEQPACKET socket made before the gateway starts. Every message is
 * one struct of fixed size; a message of another size, another magic or a type
 * that the phase does not allow ends the gateway. The gateway names a sandbox,
 * an image and limits; it can never send argv, mounts or paths. Strings are
 * NUL-terminated inside their arrays, and kernelhostd checks that again.
 * doc/PROTOCOL.broker is the paper; this file is its table.
 */
#ifndef KH_LINK_BROKER_H
#define KH_LINK_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define KH_BROKER_MAGIC   0x4b48424bu /* "KHBK" */
#define KH_BROKER_VERSION 6

/* [a-z0-9]([a-z0-9-]{0,54}[a-z0-9])? and its NUL. */
#define KH_NAME_SIZE       57
#define KH_IMAGE_NAME_SIZE 65
#define KH_ID_SIZE         16
#define KH_LABEL_SIZE      65 /* 64 bytes and the NUL */

/* Kernels that a snapshot may name: KH_KERNELS_MAX of init.h. */
#define KH_BROKER_KERNELS 64u

enum kh_broker_type {
    /* request -> reply with the same serial */
    KH_BROKER_HELLO = 1,      /* arg: KH_BROKER_VERSION. First, and once. */
    KH_BROKER_CREATE = 2,     /* name, limits, ladder, and image or (`other`) a
                                 snapshot: new record, started. EEXIST, ENOENT (image,
                                 snapshot), EINVAL (name, limits), ENOSPC. A stream as
                                 CONNECT's comes with the reply if it can */
    KH_BROKER_START = 3,      /* name: a stopped sandbox runs again on its disk; a
                                 stream as for CREATE */
    KH_BROKER_STOP = 4,       /* name: processes end, disk stays */
    KH_BROKER_REMOVE = 5,     /* name: processes end, disk and record go */
    KH_BROKER_CONNECT = 6,    /* name: a stream to its init is passed with the reply */
    KH_BROKER_STAT = 7,       /* name: record and usage */
    KH_BROKER_LIST = 8,       /* arg: cursor (0 first); one record a reply; arg of
                                 the reply: next cursor; ENOENT at the end */
    KH_BROKER_IMAGES = 9,     /* as LIST, for images: reply.image */
    KH_BROKER_JOIN = 10,      /* name: a warm Python runner is to wait in init; EAGAIN
                                 when there is none to be had: start one anew */
    KH_BROKER_FREEZE = 11,    /* name: its processes stand still, with their memory */
    KH_BROKER_WAKE = 12,      /* name: what is frozen or hibernated goes on; a stream as
                                 CONNECT's comes with the reply if it was hibernated */
    KH_BROKER_HIBERNATE = 13, /* name: memory and processes go to the disk. The link
                                 to its init is closed before */
    KH_BROKER_LADDER = 14,    /* name, ladder: when it shall sleep; kept */
    KH_BROKER_ROLLBACK = 16, /* name, other: it becomes what the snapshot `other`, taken
                                of it, holds: hibernated, if that has its processes,
                                stopped else. EINVAL, EBUSY, ENOENT, ENOTSUP */
    KH_BROKER_SNAPSHOT = 20, /* name: its disk as it is now becomes the snapshot
                                `other`. arg: flags. EEXIST, ENOENT, ENOSPC,
                                EUSERS (too many), ENOTSUP */
    KH_BROKER_SNAPSHOTS = 21,       /* as LIST, for snapshots: those of `name` if it is
                                       not "", or the one that is called `other` */
    KH_BROKER_SNAPSHOT_REMOVE = 22, /* other: what was made from it stays */
    KH_BROKER_SNAPSHOT_ADOPT = 23,  /* name: the id of an archive that root unpacked
                                       beside the snapshots; it becomes one */
    KH_BROKER_LIMIT = 15,   /* name, limits: those that are not 0 are its from now on,
                               and in its record. EINVAL, EBUSY (more is in use) */
    KH_BROKER_ENDED = 25,   /* as LIST, of removed sandboxes: name, id, account; each
                               until   it is SETTLED */
    KH_BROKER_SETTLED = 26, /* id: its account is in the ledger for good, or there is
                               none */
    /* unsolicited, serial 0 */
    KH_BROKER_EXITED = 32, /* a sandbox's PID 1 ended: name, id, arg: wait status or
                              KH_BROKER_STATUS_UNKNOWN, usage.oom_kills */
};

/* Instead of a wait status, of a process that an earlier kernelhostd started. */
#define KH_BROKER_STATUS_UNKNOWN 0xffffffffu

/* In the arg of CREATE and START: answer when a warm runner waits in init, or when
 * there is none to be had. */
#define KH_BROKER_WARM 1u

/* In the arg of SNAPSHOT, and in the flags of one. */
#define KH_SNAPSHOT_MEMORY                                                             \
    1u /* its processes, too: it is hibernated, or was saved by                        \
          HIBERNATE with KEEP and is frozen since */
#define KH_SNAPSHOT_TEMPORARY                                                          \
    2u /* no longer than this gateway; its name is a valid                             \
          one behind a '~', and it is not listed */

/* In the arg of HIBERNATE. */
#define KH_HIBERNATE_KEEP                                                              \
    1u /* it stays, frozen; what was saved is void as it wakes                         \
        */
#define KH_HIBERNATE_VOLATILE 2u /* with KEEP: need not survive a power cut */

enum kh_sandbox_state {
    KH_SANDBOX_RUNNING = 1,
    KH_SANDBOX_FROZEN = 2,     /* its processes stand still */
    KH_SANDBOX_HIBERNATED = 3, /* they are on the disk */
    KH_SANDBOX_STOPPED = 4,    /* there are none */
};

/* 0 in a request means the host's default. */
struct kh_limits {
    uint64_t memory;    /* bytes; 64 MiB .. host memory */
    uint32_t cpu_milli; /* thousandths of a processor; 10 .. 1000 x processors */
    uint32_t pids;      /* tasks; 16 .. 32768 */
    uint64_t disk;      /* bytes, names and inodes included; 16 MiB .. the disk */
};

#define KH_LIMITS_MEMORY (1024ull * 1024 * 1024)      /* the defaults, or */
#define KH_LIMITS_DISK   (10ull * 1024 * 1024 * 1024) /* what there is, if less */

/* After how many idle seconds a sandbox sleeps. 0 in a request: as it is; in a record:
 * the host's default. */
struct kh_ladder {
    uint32_t freeze;
    uint32_t hibernate;
};

#define KH_LADDER_NEVER UINT32_MAX

struct kh_usage {
    uint64_t memory; /* bytes charged now */
    uint64_t memory_peak;
    uint64_t cpu_usec; /* processor time used */
    uint32_t pids;
    uint32_t oom_kills; /* processes the memory limit killed */
    uint64_t io;        /* STAT only: bytes its processes have read and written; it may
                           fall as they end */
};

/* What a sandbox has used since it was made, all its starts together: rising sums, but
 * for disk_now. (sandbox/host/meter.h) */
struct kh_account {
    uint64_t cpu_usec;   /* processor time */
    uint64_t memory;     /* KiB x ms: what was held, and for how long */
    uint64_t disk;       /* KiB x ms */
    uint64_t disk_now;   /* bytes, as of up to a minute ago; 0 where it is not known */
    uint64_t running_ms; /* time in these states */
    uint64_t frozen_ms;
    uint64_t hibernated_ms;
};

struct kh_broker_request {
    uint32_t magic;
    uint32_t type;
    uint64_t serial; /* not 0 */
    uint64_t arg;
    char name[KH_NAME_SIZE];
    char image[KH_IMAGE_NAME_SIZE];
    uint8_t pad_[6];
    struct kh_limits limits;
    struct kh_ladder ladder;
    char other[KH_NAME_SIZE]; /* a snapshot */
    uint8_t pad2_[7];
    uint64_t expires;       /* SNAPSHOT: seconds since 1970; 0: never */
    uint8_t id[KH_ID_SIZE]; /* SETTLED */
    /* SNAPSHOT: ids of its kernels, by their number from 1; kept beside it, and never
     * looked into. */
    uint8_t kernels[KH_BROKER_KERNELS][KH_ID_SIZE];
    char label[KH_LABEL_SIZE]; /* SNAPSHOT: for people */
    uint8_t pad3_[7];
};

struct kh_broker_reply {
    uint32_t magic;
    uint32_t type;
    uint64_t serial;
    uint64_t arg;
    struct kh_error error; /* code 0: success; else only serial and this count */
    uint8_t id[KH_ID_SIZE];
    char name[KH_NAME_SIZE];
    char image[KH_IMAGE_NAME_SIZE];
    uint8_t pad_[6];
    uint32_t state;   /* enum kh_sandbox_state */
    int32_t init_pid; /* on the host; 0 when stopped */
    uint64_t created; /* seconds since 1970 */
    uint64_t started; /* seconds since 1970; 0 when never */
    struct kh_limits limits;
    struct kh_usage usage;
    struct kh_ladder ladder;
    uint64_t boot;  /* which start its init is of: the same after hibernation */
    uint64_t saved; /* bytes of its memory on the disk, while it is hibernated */
    uint8_t place[KH_ID_SIZE]; /* another one since each ROLLBACK; 0: there was none */
    /* Of a snapshot; id, image, limits and created are its own, name is the sandbox
     * that it was taken of. */
    char other[KH_NAME_SIZE];
    uint8_t pad2_[3];
    uint32_t flags;   /* KH_SNAPSHOT_... */
    uint64_t expires; /* seconds since 1970; 0: never */
    uint64_t held;    /* bytes on the disk that it refers to, shared ones too */
    struct kh_account account;
    uint8_t box[KH_ID_SIZE]; /* the id of the sandbox; 0: it is not known */
    char label[KH_LABEL_SIZE];
    uint8_t pad3_[7];
    uint8_t kernels[KH_BROKER_KERNELS][KH_ID_SIZE]; /* SNAPSHOTS with `other` */
};

/* True for a valid sandbox name in an array of KH_NAME_SIZE bytes; an image
 * name is [a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?. Bytes need not be terminated. */
bool kh_name_valid(const char *name);
bool kh_image_name_valid(const char *name);

/* A snapshot is named like a sandbox; a temporary one like that behind a '~'. */
bool kh_snapshot_name_valid(const char *name, bool temporary);

/* The rule in words, for error texts. */
#define KH_NAME_RULE                                                                   \
    "1 to 56 lower-case letters, digits and inner hyphens, like 'my-box-2'"

#endif
