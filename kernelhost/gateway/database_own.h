/* database_own: the inside of the database, shared by database.c (the thread and its
 * queue) and database_sql.c (the file). Nobody else includes it.
 */
#ifndef KH_GATEWAY_DATABASE_OWN_H
#define KH_GATEWAY_DATABASE_OWN_H

#include <sqlite3.h>

#include "kernelhost/gateway/database.h"

enum kh_database_verb {
    KH_DB_PUT_SANDBOX,
    KH_DB_PUT_KERNEL,
    KH_DB_PUT_BINDING,
    KH_DB_DROP_SANDBOX,
    KH_DB_DROP_KERNEL,
    KH_DB_PUT_ACCOUNT,
    KH_DB_PUT_WORK,
    KH_DB_READ_LEDGER,
    KH_DB_SYNC,
};

struct kh_database_op {
    struct kh_database_op *next;
    enum kh_database_verb verb;
    union {
        struct kh_row_sandbox sandbox;
        struct kh_row_kernel kernel;
        struct kh_row_binding binding;
        struct kh_row_account account;
        struct kh_row_work work;
        struct {
            uint64_t since;
            char name[KH_NAME_SIZE]; /* "": all */
        } query;
    } row;
    struct kh_ledger_sheet sheet; /* READ_LEDGER */
    kh_database_sheet_fn *sheet_fn;
    kh_database_fn *fn; /* SYNC */
    uint64_t mark;
    void *arg;
    struct kh_error err; /* code 0: written */
};

struct kh_database_rows {
    struct kh_row_sandbox *sandbox;
    struct kh_row_kernel *kernel;
    struct kh_row_binding *binding;
    size_t sandboxes, kernels, bindings;
};

/* Opens the file in DIR, brings it up to our version and reads it. A damaged one is
 * set aside. */
int kh_database_sql_open(const char *dir, sqlite3 **ret_db,
                         struct kh_database_rows *ret_rows, struct kh_error *err);
void kh_database_rows_release(struct kh_database_rows *rows);

/* database_usage.c: the tables of the ledger, and the verbs for it. SQLite codes. */
#define KH_DATABASE_USAGE_TABLES                                                       \
    "CREATE TABLE accounts("                                                           \
    "  id BLOB PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL,"                  \
    "  created INTEGER NOT NULL, removed INTEGER NOT NULL, disk_now INTEGER NOT NULL," \
    "  cpu_usec INTEGER NOT NULL, memory INTEGER NOT NULL, disk INTEGER NOT NULL,"     \
    "  running_ms INTEGER NOT NULL, frozen_ms INTEGER NOT NULL,"                       \
    "  hibernated_ms INTEGER NOT NULL) WITHOUT ROWID;"                                 \
    "CREATE TABLE hours("                                                              \
    "  sandbox BLOB NOT NULL, hour INTEGER NOT NULL,"                                  \
    "  cpu_usec INTEGER NOT NULL, memory INTEGER NOT NULL, disk INTEGER NOT NULL,"     \
    "  running_ms INTEGER NOT NULL, frozen_ms INTEGER NOT NULL,"                       \
    "  hibernated_ms INTEGER NOT NULL, executions INTEGER NOT NULL,"                   \
    "  PRIMARY KEY(sandbox, hour)) WITHOUT ROWID;"                                     \
    "CREATE TABLE works("                                                              \
    "  kernel TEXT PRIMARY KEY, sandbox BLOB NOT NULL, kind TEXT NOT NULL,"            \
    "  executions INTEGER NOT NULL, cpu_usec INTEGER NOT NULL,"                        \
    "  wall_usec INTEGER NOT NULL, epoch INTEGER NOT NULL,"                            \
    "  seen_executions INTEGER NOT NULL, seen_cpu_usec INTEGER NOT NULL,"              \
    "  seen_wall_usec INTEGER NOT NULL) WITHOUT ROWID;"

/* The same since the beginning, which is asked for most: so nobody adds up years. */
#define KH_DATABASE_USAGE_TOTALS                                                       \
    "CREATE TABLE totals("                                                             \
    "  sandbox BLOB PRIMARY KEY,"                                                      \
    "  cpu_usec INTEGER NOT NULL, memory INTEGER NOT NULL, disk INTEGER NOT NULL,"     \
    "  running_ms INTEGER NOT NULL, frozen_ms INTEGER NOT NULL,"                       \
    "  hibernated_ms INTEGER NOT NULL, executions INTEGER NOT NULL) WITHOUT ROWID;"    \
    "INSERT INTO totals SELECT sandbox,total(cpu_usec),total(memory),total(disk),"     \
    "  total(running_ms),total(frozen_ms),total(hibernated_ms),total(executions)"      \
    "  FROM hours GROUP BY sandbox;"

int kh_database_usage_account(sqlite3 *db, const struct kh_row_account *row);
int kh_database_usage_work(sqlite3 *db, const struct kh_row_work *row);
int kh_database_usage_read(sqlite3 *db, uint64_t since, const char *name,
                           struct kh_ledger_sheet *ret_sheet);

/* In a transaction of its own: hours of before KH_LEDGER_HOURS_S, reckoned from NOW,
 * become days, and kernels of sandboxes that were removed before that go. */
int kh_database_usage_thin(sqlite3 *db, uint64_t now);
void kh_database_sheet_release(struct kh_ledger_sheet *sheet);

/* Writes all of LIST in one transaction: it is on the disk, or nothing of it is. */
int kh_database_sql_write(sqlite3 *db, struct kh_database_op *list,
                          struct kh_error *err);

#endif
