/* database: what must outlive the machine's restart, in SQLite.
 *
 * Sandboxes with their owner, kernels with their ids, and where kernels are bound,
 * with the keys. kernelhostd decides what exists; this adds what it does not know.
 * One file in a directory of our own (0700), write-ahead log, synchronous FULL. All
 * writing is done by a thread: what came while it was busy goes into one transaction.
 * Nobody waits for it but who asked to be told.
 *
 * A file that is damaged, or of a later version, is set aside, and a new one begun;
 * one that cannot be opened or written is an error for who wants to be told, and for
 * nobody else. Never does the program end, or not start, because of it.
 */
#ifndef KH_GATEWAY_DATABASE_H
#define KH_GATEWAY_DATABASE_H

#include <stdbool.h>

#include "kernelhost/gateway/loop.h"
#include "protocol/jupyter/connfile.h"
#include "protocol/jupyter/uuid.h"
#include "protocol/link/broker.h"

#define KH_DATABASE_FILE    "registry.db"
#define KH_DATABASE_OWNER   "local" /* until there are others */
#define KH_DATABASE_WAITING 100000u /* writes that may wait */
#define KH_LEDGER_HOURS_S                                                              \
    (100u * 24 * 3600) /* so long the ledger has hours, not days */
#define KH_PREFIX_SIZE 32
#define KH_KIND_SIZE   33

struct kh_database;

struct kh_row_sandbox {
    uint8_t id[KH_ID_SIZE];
    char name[KH_NAME_SIZE];
    char image[KH_IMAGE_NAME_SIZE];
    uint64_t created;
};

struct kh_row_kernel {
    uint8_t sandbox[KH_ID_SIZE];
    char id[KH_UUID_SIZE];
    uint32_t number;
    char kind[KH_KIND_SIZE];
    bool owned; /* by a launcher */
};

struct kh_row_binding {
    char kernel[KH_UUID_SIZE];
    struct kh_connfile file;
    char prefix[KH_PREFIX_SIZE]; /* ipc: where the sockets are */
    bool published;              /* a connection file of ours tells of it */
};

/* What a sandbox has used in all, as kernelhostd says. */
struct kh_row_account {
    uint8_t id[KH_ID_SIZE];
    char name[KH_NAME_SIZE];
    uint64_t created;
    bool removed;
    struct kh_account account;
};

/* And a kernel, as it says itself: since EPOCH began, a number that is another one
 * whenever the counters begin anew. */
struct kh_row_work {
    char kernel[KH_UUID_SIZE];
    uint8_t sandbox[KH_ID_SIZE];
    char kind[KH_KIND_SIZE];
    uint64_t epoch;
    uint64_t executions, cpu_usec, wall_usec;
};

/* One line of the ledger: what was used since an hour, or since the beginning. */
struct kh_used {
    uint8_t id[KH_ID_SIZE];
    char name[KH_NAME_SIZE];
    char owner[KH_NAME_SIZE];
    uint64_t created, removed; /* seconds since 1970; 0: it is there */
    uint64_t disk_now;
    double cpu_usec, memory, disk; /* as in struct kh_account */
    double running_ms, frozen_ms, hibernated_ms;
    double executions;
};

/* Of a kernel, since the beginning. */
struct kh_worked {
    char kernel[KH_UUID_SIZE];
    uint8_t sandbox[KH_ID_SIZE];
    char kind[KH_KIND_SIZE];
    uint64_t executions, cpu_usec, wall_usec;
};

/* Sandboxes by name, the newest of a name first; kernels by the sandbox's id, and none
 * unless all since the beginning was asked for: they have no hours. */
struct kh_ledger_sheet {
    struct kh_used *used;
    struct kh_worked *worked;
    size_t used_count, worked_count;
};

/* ERR is NULL when it is on the disk. */
typedef void kh_database_fn(void *arg, const struct kh_error *err);

/* Opens the database in DIR (a path that is used as it is). Never fails: without DIR
 * (NULL), or when it cannot be opened, nothing is kept. */
struct kh_database *kh_database_open(struct kh_loop *loop, const char *dir);

/* Writes what waits, tells who waits for it, and ends. */
void kh_database_close(struct kh_database *database);

/* What it held when it was opened: by index, until NULL. */
const struct kh_row_sandbox *kh_database_sandbox(const struct kh_database *database,
                                                 size_t index);
const struct kh_row_kernel *kh_database_kernel(const struct kh_database *database,
                                               size_t index);
const struct kh_row_binding *kh_database_binding(const struct kh_database *database,
                                                 size_t index);
void kh_database_loaded(struct kh_database *database); /* it is not needed any more */

/* Adds or replaces. */
void kh_database_put_sandbox(struct kh_database *database,
                             const struct kh_row_sandbox *row);
void kh_database_put_kernel(struct kh_database *database,
                            const struct kh_row_kernel *row);
void kh_database_put_binding(struct kh_database *database,
                             const struct kh_row_binding *row);

/* Adds to the ledger what is more than was put last, in one transaction with that: so
 * nothing is added twice. What it belongs to may be dropped; the ledger stays. */
void kh_database_put_account(struct kh_database *database,
                             const struct kh_row_account *row);
void kh_database_put_work(struct kh_database *database, const struct kh_row_work *row);

/* Reads the ledger from kh_database_ledger_since on (0: all), with what was put before;
 * of one sandbox (NAME) or of all (NULL). FN gets it once, and either ERR or SHEET,
 * which lasts for the call. */
typedef void kh_database_sheet_fn(void *arg, const struct kh_ledger_sheet *sheet,
                                  const struct kh_error *err);
void kh_database_read_ledger(struct kh_database *database, uint64_t since,
                             const char *name, kh_database_sheet_fn *fn, void *arg);

/* From when it is read for who asks for SINCE (seconds since 1970): from the beginning
 * of that hour, or of that day in UTC if it is longer ago than KH_LEDGER_HOURS_S. */
uint64_t kh_database_ledger_since(uint64_t since, uint64_t now);

/* True if it is kept at all. */
bool kh_database_lasts(const struct kh_database *database);

/* Drops it, and what belongs to it. */
void kh_database_drop_sandbox(struct kh_database *database,
                              const uint8_t id[KH_ID_SIZE]);
void kh_database_drop_kernel(struct kh_database *database, const char *id);

/* A number that is another one whenever something that was put could not be written. */
uint64_t kh_database_mark(struct kh_database *database);

/* Calls FN, once and maybe at once, when everything put before is on the disk or could
 * not be written: with an error if anything could not since MARK was taken. */
void kh_database_sync(struct kh_database *database, uint64_t mark, kh_database_fn *fn,
                      void *arg);

#endif
