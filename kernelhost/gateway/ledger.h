/* ledger: what must outlive the gateway's process, and not the machine.
 *
 * Shared memory that kernelhostd keeps (a file without a disk): where each kernel's
 * messages have got to, which requests are open and who asked, and what libzmq has
 * written to each connection. It is written as things happen, by plain stores: when
 * the process is killed at any instruction, the next one reads here what the last
 * one had done. Nothing in it is waited for, and nothing of it is a secret.
 *
 * Written by this program only; still, every number in it is checked when it is
 * read back. An instance without memory that lasts works all the same.
 */
#ifndef KH_GATEWAY_LEDGER_H
#define KH_GATEWAY_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "kernelhost/gateway/zmtp.h"
#include "protocol/jupyter/schema.h"
#include "protocol/jupyter/uuid.h"
#include "protocol/jupyter/wire.h"
#include "protocol/link/broker.h"
#include "protocol/link/frame.h"

#define KH_LEDGER_KERNELS     16384u
#define KH_LEDGER_CONNECTIONS 65536u /* by descriptor */
#define KH_LEDGER_BLOCKS      131072u
#define KH_LEDGER_BLOCK       512u
#define KH_LEDGER_SPAN_MAX    16u /* blocks of one request */
#define KH_LEDGER_CALL_MAX    24u /* messages that one call of send() ends */
#define KH_LEDGER_CLIENT_SIZE 65

/* One incarnation of one kernel, as its messages say it. */
struct kh_ledger_life {
    char session[KH_UUID_SIZE];
    uint64_t began, ready, died; /* the entries that said so; 0: none did */
    int64_t execution_count;
};

/* What a kernel has done, as far as the reply in entry SEQ of INIT's journal. */
struct kh_ledger_work {
    uint64_t init, seq;
    uint64_t executions, cpu_usec, wall_usec;
};

struct kh_ledger_kernel {
    uint32_t used;
    uint32_t number;
    uint8_t sandbox[KH_ID_SIZE];
    char name[KH_NAME_SIZE];
    char id[KH_UUID_SIZE];
    char language[33];
    uint8_t owned;                 /* a launcher's */
    uint8_t warm;                  /* nobody has asked for it yet */
    uint8_t ending;                /* somebody took it away */
    uint8_t waiting;               /* for subscribers that an earlier gateway had */
    uint8_t doomed;                /* it goes if the sandbox's place is no longer */
    uint8_t place[4];              /* the one that begins so */
    uint64_t init;                 /* which init's journal the positions are of */
    uint64_t settled;              /* everything up to here was written to everybody */
    uint64_t published;            /* and on iopub up to here */
    uint32_t subscribers;          /* that an earlier gateway had */
    uint32_t askers;               /* connections with open requests, likewise */
    struct kh_ledger_life life[2]; /* the newest, and the one before */
    uint64_t epoch;                /* of its work: random, 0 while there is none */
    struct kh_ledger_work work[2]; /* one counts, the other is written */
    uint32_t working;              /* which one, in its lowest bit */
};

/* One connection, by the number of its descriptor. The loop's thread says whose it
 * is; the thread of libzmq that writes on it does the rest (written.h). */
struct kh_ledger_connection {
    uint64_t tag;     /* whose it is; 0: nobody's */
    uint64_t written; /* position of the last message that was written whole */
    uint64_t since;   /* position told when it subscribed */
    uint32_t birth;   /* counts the connections that had this descriptor */
    uint8_t subscribed, filtered;
    uint8_t behind;  /* the last call did not take all bytes */
    uint64_t beyond; /* bytes written since the end of that last message */
    /* A call under way: what it ends, and how many bytes the kernel took, which
     * the kernel itself writes here. */
    uint8_t calling;
    uint32_t call_count;
    uint64_t call_beyond; /* `beyond` before it */
    struct kh_zmtp_end call[KH_LEDGER_CALL_MAX];
    struct mmsghdr header;
};

#define KH_LEDGER_UNSENT UINT32_MAX /* in header.msg_len: not (yet) taken */

/* A connection, for as long as it lasts. */
struct kh_route_mark {
    int fd;
    uint32_t birth; /* 0: not known */
};

/* One open request: a head and its bytes, over consecutive blocks. */
struct kh_ledger_request {
    uint32_t blocks; /* 0: free */
    uint32_t kernel; /* index */
    uint64_t id;
    uint64_t begun, replied, done; /* positions; 0: not */
    uint8_t answered;              /* the reply was written, or nobody is there */
    uint32_t fd, birth;            /* the connection it came by */
    uint16_t flags;                /* enum kh_request_flag */
    uint8_t channel;
    uint8_t sunk; /* the answer goes to a client of the HTTP API */
    uint8_t ident_count;
    uint8_t ident[KH_WIRE_IDENTS_MAX]; /* their sizes */
    char client[KH_LEDGER_CLIENT_SIZE];
    char msg_type[65];
    uint32_t header;
    char bytes[]; /* identities, then the header */
};

struct kh_ledger;

/* What a connection is tagged with: the index of its kernel, and the channel. */
static inline uint64_t
kh_ledger_tag(uint32_t kernel, enum kh_channel channel)
{
    return ((uint64_t)kernel + 1) * 8 + (uint64_t)channel;
}

static inline uint32_t
kh_ledger_tagged_kernel(uint64_t tag)
{
    return (uint32_t)(tag / 8 - 1);
}

static inline enum kh_channel
kh_ledger_tagged_channel(uint64_t tag)
{
    return (enum kh_channel)(tag % 8);
}

/* Maps the file FD, or private memory for -1. What it holds is kept if it is of
 * this version. Fails only for want of memory. */
struct kh_ledger *kh_ledger_open(int fd, struct kh_error *err);
void kh_ledger_free(struct kh_ledger *ledger);

/* The process ends: nothing is forgotten from now on, the next one needs it. */
void kh_ledger_leave(struct kh_ledger *ledger);
bool kh_ledger_left(const struct kh_ledger *ledger);

/* A kernel by index, NULL when it is not used; and the index of one. */
struct kh_ledger_kernel *kh_ledger_kernel(struct kh_ledger *ledger, uint32_t index);
uint32_t kh_ledger_index(const struct kh_ledger *ledger,
                         const struct kh_ledger_kernel *kernel);

/* The kernel with this number in a sandbox; NULL when there is none. */
struct kh_ledger_kernel *kh_ledger_find(struct kh_ledger *ledger,
                                        const struct kh_broker_reply *sandbox,
                                        uint32_t number);

/* A fresh one. When the ledger is full it is one that nobody will find again. */
struct kh_ledger_kernel *kh_ledger_add(struct kh_ledger *ledger,
                                       const struct kh_broker_reply *sandbox,
                                       uint32_t number, const char *id,
                                       const char *language);

/* Forgets a kernel and its requests; NULL does nothing. */
void kh_ledger_drop(struct kh_ledger *ledger, struct kh_ledger_kernel *kernel);

/* Notes a request; NULL when it is too large or there is no room: it then is not
 * known after a restart. FIELDS gives what is in the head. */
struct kh_ledger_request *kh_ledger_note(struct kh_ledger *ledger,
                                         const struct kh_ledger_request *fields,
                                         const struct kh_slice *ident,
                                         struct kh_slice header);
void kh_ledger_erase(struct kh_ledger *ledger, struct kh_ledger_request *request);

/* The requests of a kernel: the next one behind AFTER (NULL: the first), in no
 * order. Slow, for the start only. */
struct kh_ledger_request *kh_ledger_next(struct kh_ledger *ledger,
                                         const struct kh_ledger_kernel *kernel,
                                         const struct kh_ledger_request *after);

/* The connection of a descriptor; NULL when there can be none. Safe in any
 * thread. */
struct kh_ledger_connection *kh_ledger_connection(struct kh_ledger *ledger, int fd);

/* The same if it is noted already; NULL else. */
const struct kh_ledger_connection *kh_ledger_peek(const struct kh_ledger *ledger,
                                                  int fd);

/* Calls FN for every connection that an earlier process had, with the last call of
 * it settled. kh_ledger_disown forgets them. */
void kh_ledger_inherit(struct kh_ledger *ledger,
                       void (*fn)(void *arg, uint32_t fd,
                                  const struct kh_ledger_connection *connection),
                       void *arg);

void kh_ledger_disown(struct kh_ledger *ledger);

/* Notes what the call under way has brought; N bytes were taken. */
void kh_ledger_took(struct kh_ledger_connection *connection, uint32_t n);

#endif
