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
    KH_DB_SYNC,
};

struct kh_database_op {
    struct kh_database_op *next;
    enum kh_database_verb verb;
    union {
        struct kh_row_sandbox sandbox;
        struct kh_row_kernel kernel;
        struct kh_row_binding binding;
    } row;
    kh_database_fn *fn; /* SYNC */
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

/* Writes all of LIST in one transaction: it is on the disk, or nothing of it is. */
int kh_database_sql_write(sqlite3 *db, const struct kh_database_op *list,
                          struct kh_error *err);

#endif
