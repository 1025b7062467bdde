#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/database_own.h"

#define BUSY_MS  5000
#define ROWS_MAX 1000000 /* of one table */

/* Version N of the file is made from N - 1 by the text at N - 1. */
static const char *const migrations[] = {
    "CREATE TABLE sandboxes("
    "  id BLOB PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL,"
    "  image TEXT NOT NULL, labels TEXT NOT NULL DEFAULT '{}',"
    "  created INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE kernels("
    "  id TEXT PRIMARY KEY,"
    "  sandbox BLOB NOT NULL REFERENCES sandboxes(id) ON DELETE CASCADE,"
    "  number INTEGER NOT NULL, kind TEXT NOT NULL, owned INTEGER NOT NULL)"
    "  WITHOUT ROWID;"
    "CREATE TABLE bindings("
    "  kernel TEXT NOT NULL REFERENCES kernels(id) ON DELETE CASCADE,"
    "  transport TEXT NOT NULL, ip TEXT NOT NULL, prefix TEXT NOT NULL,"
    "  shell INTEGER NOT NULL, iopub INTEGER NOT NULL, stdin INTEGER NOT NULL,"
    "  control INTEGER NOT NULL, hb INTEGER NOT NULL, key TEXT NOT NULL,"
    "  scheme TEXT NOT NULL, kernel_name TEXT NOT NULL, published INTEGER NOT NULL,"
    "  PRIMARY KEY(kernel, transport)) WITHOUT ROWID;",
    KH_DATABASE_USAGE_TABLES,
    KH_DATABASE_USAGE_TOTALS,
};

/* The order of struct kh_connfile's ports, as columns. */
static const enum kh_channel port_columns[] = {KH_CHANNEL_SHELL, KH_CHANNEL_IOPUB,
                                               KH_CHANNEL_STDIN, KH_CHANNEL_CONTROL,
                                               KH_CHANNEL_HB};

static int
sql_failed(sqlite3 *db, int code, const char *what, struct kh_error *err)
{
    int os = code == SQLITE_FULL ? ENOSPC : code == SQLITE_NOMEM ? ENOMEM : EIO;

    return kh_fail(err, os, "cannot %s the registry: %s", what,
                   db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
}

static bool
is_damage(int code)
{
    return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB ||
           code == SQLITE_MISMATCH || code == SQLITE_SCHEMA || code == SQLITE_ERROR;
}

/* SQLite makes paths absolute, but what is above our directory may be closed to us. */
static int
keep_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
    (void)vfs;
    return snprintf(out, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static const char *
own_vfs(void)
{
    static sqlite3_vfs vfs;

    if (!vfs.zName) {
        vfs = *sqlite3_vfs_find(NULL);
        vfs.pNext = NULL;
        vfs.zName = "kernelhost";
        vfs.xFullPathname = keep_path;
        sqlite3_vfs_register(&vfs, 0);
    }
    return vfs.zName;
}

static int
get_version(sqlite3 *db, int *ret_version)
{
    sqlite3_stmt *stmt;
    int r = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL);

    if (r == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        *ret_version = sqlite3_column_int(stmt, 0);
    return sqlite3_finalize(stmt) == SQLITE_OK ? r : SQLITE_CORRUPT;
}

static int
migrate(sqlite3 *db)
{
    char text[64];
    int version = 0, r = get_version(db, &version);

    if (r == SQLITE_OK && (version < 0 || version > (int)KH_COUNT(migrations)))
        return SQLITE_MISMATCH; /* a later one */
    for (; r == SQLITE_OK && version < (int)KH_COUNT(migrations); version++) {
        snprintf(text, sizeof(text), "PRAGMA user_version=%d;COMMIT", version + 1);
        r = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (r == SQLITE_OK)
            r = sqlite3_exec(db, migrations[version], NULL, NULL, NULL);
        if (r == SQLITE_OK)
            r = sqlite3_exec(db, text, NULL, NULL, NULL);
        if (r != SQLITE_OK)
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return r;
}

static int
check(sqlite3 *db)
{
    sqlite3_stmt *stmt;
    int r = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_step(stmt);
    if (r == SQLITE_ROW)
        r = strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") ? SQLITE_CORRUPT
                                                                     : SQLITE_OK;
    sqlite3_finalize(stmt);
    return r;
}

/* ---- reading ---- */

static bool
take_text(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);

    return text && (size_t)snprintf(out, size, "%s", text) < size;
}

static bool
take_id(sqlite3_stmt *stmt, int column, uint8_t out[KH_ID_SIZE])
{
    if (sqlite3_column_bytes(stmt, column) != KH_ID_SIZE)
        return false;
    memcpy(out, sqlite3_column_blob(stmt, column), KH_ID_SIZE);
    return true;
}

static bool
read_sandbox(sqlite3_stmt *stmt, void *row)
{
    struct kh_row_sandbox *sandbox = row;

    sandbox->created = (uint64_t)sqlite3_column_int64(stmt, 3);
    return take_id(stmt, 0, sandbox->id) &&
           take_text(stmt, 1, sandbox->name, sizeof(sandbox->name)) &&
           take_text(stmt, 2, sandbox->image, sizeof(sandbox->image)) &&
           kh_name_valid(sandbox->name);
}

static bool
read_kernel(sqlite3_stmt *stmt, void *row)
{
    struct kh_row_kernel *kernel = row;
    unsigned char uuid[16];

    kernel->number = (uint32_t)sqlite3_column_int64(stmt, 2);
    kernel->owned = sqlite3_column_int(stmt, 4);
    return take_text(stmt, 0, kernel->id, sizeof(kernel->id)) &&
           take_id(stmt, 1, kernel->sandbox) &&
           take_text(stmt, 3, kernel->kind, sizeof(kernel->kind)) &&
           kh_uuid_parse(kernel->id, uuid);
}

static bool
read_binding(sqlite3_stmt *stmt, void *row)
{
    struct kh_row_binding *binding = row;
    struct kh_connfile *file = &binding->file;
    size_t i;

    for (i = 0; i < KH_COUNT(port_columns); i++)
        file->port[port_columns[i]] = (uint16_t)sqlite3_column_int(stmt, 4 + (int)i);
    binding->published = sqlite3_column_int(stmt, 12);
    return take_text(stmt, 0, binding->kernel, sizeof(binding->kernel)) &&
           take_text(stmt, 1, file->transport, sizeof(file->transport)) &&
           take_text(stmt, 2, file->ip, sizeof(file->ip)) &&
           take_text(stmt, 3, binding->prefix, sizeof(binding->prefix)) &&
           take_text(stmt, 9, file->key, sizeof(file->key)) &&
           take_text(stmt, 10, file->signature_scheme,
                     sizeof(file->signature_scheme)) &&
           take_text(stmt, 11, file->kernel_name, sizeof(file->kernel_name)) &&
           kh_connfile_check(file, NULL) == 0;
}

/* Rows that make no sense are left out: what they told is made again. */
static int
read_table(sqlite3 *db, const char *sql, size_t size,
           bool (*read)(sqlite3_stmt *stmt, void *row), void *ret_rows,
           size_t *ret_count)
{
    sqlite3_stmt *stmt;
    size_t count = 0, room = 0;
    char *rows = NULL;
    int r = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    while (r == SQLITE_OK && (r = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (count == room) {
            room = room ? 2 * room : 64;
            rows = kh_xrealloc(rows, room * size);
        }
        memset(rows + count * size, 0, size);
        count += read(stmt, rows + count * size);
        r = count < ROWS_MAX ? SQLITE_OK : SQLITE_CORRUPT;
    }
    sqlite3_finalize(stmt);
    memcpy(ret_rows, &rows, sizeof(rows));
    *ret_count = count;
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

static int
read_all(sqlite3 *db, struct kh_database_rows *rows)
{
    int r = read_table(db, "SELECT id,name,image,created FROM sandboxes",
                       sizeof(*rows->sandbox), read_sandbox, &rows->sandbox,
                       &rows->sandboxes);

    if (r == SQLITE_OK)
        r = read_table(db, "SELECT id,sandbox,number,kind,owned FROM kernels",
                       sizeof(*rows->kernel), read_kernel, &rows->kernel,
                       &rows->kernels);
    if (r == SQLITE_OK)
        r = read_table(db,
                       "SELECT kernel,transport,ip,prefix,shell,iopub,stdin,control,hb,"
                       "key,scheme,kernel_name,published FROM bindings",
                       sizeof(*rows->binding), read_binding, &rows->binding,
                       &rows->bindings);
    return r;
}

void
kh_database_rows_release(struct kh_database_rows *rows)
{
    size_t i;

    for (i = 0; i < rows->bindings; i++)
        kh_connfile_wipe(&rows->binding[i].file);
    free(rows->sandbox);
    free(rows->kernel);
    free(rows->binding);
    memset(rows, 0, sizeof(*rows));
}

/* ---- opening ---- */

static int
open_file(const char *path, sqlite3 **ret_db, struct kh_database_rows *rows)
{
    int r = sqlite3_open_v2(
        path, ret_db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
        own_vfs());

    if (r == SQLITE_OK)
        r = sqlite3_busy_timeout(*ret_db, BUSY_MS);
    if (r == SQLITE_OK)
        r = sqlite3_exec(*ret_db,
                         "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
                         "PRAGMA foreign_keys=ON",
                         NULL, NULL, NULL);
    if (r == SQLITE_OK)
        r = check(*ret_db);
    if (r == SQLITE_OK)
        r = migrate(*ret_db);
    if (r == SQLITE_OK)
        r = read_all(*ret_db, rows);
    return r;
}

static void
set_aside(const char *path, const char *why)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    char from[PATH_MAX], to[PATH_MAX];
    long long when = (long long)time(NULL);
    size_t i;

    for (i = 0; i < KH_COUNT(parts); i++) {
        snprintf(from, sizeof(from), "%s%s", path, parts[i]);
        snprintf(to, sizeof(to), "%.4000s.damaged-%lld%s", path, when, parts[i]);
        if (rename(from, to) < 0 && errno != ENOENT)
            remove(from);
    }
    kh_log(KH_LOG_ERROR,
           "the registry cannot be used and is set aside file=%s.damaged-%lld why=%s",
           path, when, why);
}

int
kh_database_sql_open(const char *dir, sqlite3 **ret_db,
                     struct kh_database_rows *ret_rows, struct kh_error *err)
{
    char path[PATH_MAX];
    int tries, code = 0;

    snprintf(path, sizeof(path), "%.3900s/" KH_DATABASE_FILE, dir);
    for (tries = 0; tries < 2; tries++) {
        sqlite3 *db = NULL;
        char why[200];

        memset(ret_rows, 0, sizeof(*ret_rows));
        code = open_file(path, &db, ret_rows);
        if (code == SQLITE_OK) {
            *ret_db = db;
            return 0;
        }
        sql_failed(code == SQLITE_MISMATCH ? NULL : db, code, "open", err);
        snprintf(why, sizeof(why), "%s",
                 code == SQLITE_MISMATCH ? "a later version made it"
                 : sqlite3_errcode(db) == SQLITE_OK || sqlite3_errcode(db) == SQLITE_ROW
                     ? sqlite3_errstr(code)
                     : sqlite3_errmsg(db));
        kh_database_rows_release(ret_rows);
        sqlite3_close(db);
        if (!is_damage(code))
            break;
        set_aside(path, why);
    }
    return -err->code;
}

/* ---- writing ---- */

static void
bind_sandbox(sqlite3_stmt *stmt, const struct kh_database_op *op)
{
    const struct kh_row_sandbox *row = &op->row.sandbox;

    sqlite3_bind_blob(stmt, 1, row->id, KH_ID_SIZE, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, row->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, KH_DATABASE_OWNER, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, row->image, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 5, (sqlite3_int64)row->created);
}

static void
bind_kernel(sqlite3_stmt *stmt, const struct kh_database_op *op)
{
    const struct kh_row_kernel *row = &op->row.kernel;

    sqlite3_bind_text(stmt, 1, row->id, -1, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 2, row->sandbox, KH_ID_SIZE, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, row->number);
    sqlite3_bind_text(stmt, 4, row->kind, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 5, row->owned);
}

static void
bind_binding(sqlite3_stmt *stmt, const struct kh_database_op *op)
{
    const struct kh_row_binding *row = &op->row.binding;
    size_t i;

    sqlite3_bind_text(stmt, 1, row->kernel, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, row->file.transport, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, row->file.ip, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, row->prefix, -1, SQLITE_STATIC);
    for (i = 0; i < KH_COUNT(port_columns); i++)
        sqlite3_bind_int(stmt, 5 + (int)i, row->file.port[port_columns[i]]);
    sqlite3_bind_text(stmt, 10, row->file.key, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 11, row->file.signature_scheme, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 12, row->file.kernel_name, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 13, row->published);
}

static void
bind_sandbox_id(sqlite3_stmt *stmt, const struct kh_database_op *op)
{
    sqlite3_bind_blob(stmt, 1, op->row.sandbox.id, KH_ID_SIZE, SQLITE_STATIC);
}

static void
bind_kernel_id(sqlite3_stmt *stmt, const struct kh_database_op *op)
{
    sqlite3_bind_text(stmt, 1, op->row.kernel.id, -1, SQLITE_STATIC);
}

static const struct {
    const char *sql;
    void (*bind)(sqlite3_stmt *stmt, const struct kh_database_op *op);
} verbs[] = {
    [KH_DB_PUT_SANDBOX] = {"INSERT INTO sandboxes(id,name,owner,image,created) "
                           "VALUES(?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET "
                           "name=excluded.name,image=excluded.image",
                           bind_sandbox},
    [KH_DB_PUT_KERNEL] = {"INSERT INTO kernels(id,sandbox,number,kind,owned) "
                          "VALUES(?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET "
                          "number=excluded.number,owned=excluded.owned",
                          bind_kernel},
    [KH_DB_PUT_BINDING] = {"INSERT OR REPLACE INTO bindings(kernel,transport,ip,prefix,"
                           "shell,iopub,stdin,control,hb,key,scheme,kernel_name,"
                           "published) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
                           bind_binding},
    [KH_DB_DROP_SANDBOX] = {"DELETE FROM sandboxes WHERE id=?", bind_sandbox_id},
    [KH_DB_DROP_KERNEL] = {"DELETE FROM kernels WHERE id=?", bind_kernel_id},
};

static int
write_one(sqlite3 *db, struct kh_database_op *op)
{
    sqlite3_stmt *stmt = NULL;
    int r;

    switch (op->verb) {
    case KH_DB_SYNC:
        return SQLITE_OK;
    case KH_DB_PUT_ACCOUNT:
        return kh_database_usage_account(db, &op->row.account);
    case KH_DB_PUT_WORK:
        return kh_database_usage_work(db, &op->row.work);
    case KH_DB_READ_LEDGER:
        return kh_database_usage_read(db, op->row.query.since, op->row.query.name,
                                      &op->sheet);
    default:
        break;
    }
    r = sqlite3_prepare_v2(db, verbs[op->verb].sql, -1, &stmt, NULL);
    if (r == SQLITE_OK) {
        verbs[op->verb].bind(stmt, op);
        r = sqlite3_step(stmt);
    }
    sqlite3_finalize(stmt);
    /* A row whose sandbox or kernel was dropped meanwhile is not wanted any more. */
    return r == SQLITE_DONE || r == SQLITE_CONSTRAINT ? SQLITE_OK : r;
}

int
kh_database_sql_write(sqlite3 *db, struct kh_database_op *list, struct kh_error *err)
{
    int r = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    for (; list && r == SQLITE_OK; list = list->next)
        r = write_one(db, list);
    if (r == SQLITE_OK)
        r = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (r == SQLITE_OK)
        return 0;
    sql_failed(db, r, "write", err);
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return -err->code;
}
