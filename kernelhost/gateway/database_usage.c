/* database_usage: the ledger in the registry's database: what was used, by hour and in
 * all. Hours of long ago are days, and of kernels of sandboxes that were removed long
 * ago nothing stays of its own. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/gateway/database_own.h"

#define HOUR_S   3600
#define DAY_S    86400
#define ROWS_MAX 1000000

/* The columns of hours and totals that are added up. */
#define SUM_COLUMNS "cpu_usec,memory,disk,running_ms,frozen_ms,hibernated_ms,executions"
#define ADD_EXCLUDED                                                                   \
    "cpu_usec=cpu_usec+excluded.cpu_usec,memory=memory+excluded.memory,"               \
    "disk=disk+excluded.disk,running_ms=running_ms+excluded.running_ms,"               \
    "frozen_ms=frozen_ms+excluded.frozen_ms,"                                          \
    "hibernated_ms=hibernated_ms+excluded.hibernated_ms,"                              \
    "executions=executions+excluded.executions"

/* The sums of struct kh_account, as columns. */
enum { CPU, MEMORY, DISK, RUNNING, FROZEN, HIBERNATED, SUMS };

static void
sums_of(const struct kh_account *account, uint64_t out[SUMS])
{
    out[CPU] = account->cpu_usec;
    out[MEMORY] = account->memory;
    out[DISK] = account->disk;
    out[RUNNING] = account->running_ms;
    out[FROZEN] = account->frozen_ms;
    out[HIBERNATED] = account->hibernated_ms;
}

static int
prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt)
{
    return sqlite3_prepare_v2(db, sql, -1, ret_stmt, NULL);
}

static int
finish(sqlite3_stmt *stmt, int r)
{
    if (r == SQLITE_OK)
        r = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return r == SQLITE_DONE || r == SQLITE_ROW ? SQLITE_OK : r;
}

/* What was there before, as COUNT columns from 0 on; zeros when there is no row. */
static int
read_last(sqlite3_stmt *stmt, int r, uint64_t *out, int count)
{
    int i;

    memset(out, 0, (size_t)count * sizeof(*out));
    if (r == SQLITE_OK)
        r = sqlite3_step(stmt);
    for (i = 0; r == SQLITE_ROW && i < count; i++)
        out[i] = (uint64_t)sqlite3_column_int64(stmt, i);
    sqlite3_finalize(stmt);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

/* A sum that has become less was taken from an older file, after a power cut: what is
 * added to it from now on is new all the same. */
static void
subtract(uint64_t *now, const uint64_t *last, int count)
{
    int i;

    for (i = 0; i < count; i++)
        now[i] = now[i] > last[i] ? now[i] - last[i] : 0;
}

/* SQL takes the sandbox, the sums, the executions and, if it wants it, the hour. */
static int
add_to(sqlite3 *db, const char *sql, const uint8_t id[KH_ID_SIZE],
       const uint64_t sums[SUMS], uint64_t executions)
{
    sqlite3_stmt *stmt = NULL;
    int i, r = prepare(db, sql, &stmt);

    sqlite3_bind_blob(stmt, 1, id, KH_ID_SIZE, SQLITE_STATIC);
    for (i = 0; i < SUMS; i++)
        sqlite3_bind_int64(stmt, 2 + i, (sqlite3_int64)sums[i]);
    sqlite3_bind_int64(stmt, 2 + SUMS, (sqlite3_int64)executions);
    if (sqlite3_bind_parameter_count(stmt) > 2 + SUMS)
        sqlite3_bind_int64(stmt, 3 + SUMS, time(NULL) / HOUR_S * HOUR_S);
    return finish(stmt, r);
}

static int
add_use(sqlite3 *db, const uint8_t id[KH_ID_SIZE], const uint64_t sums[SUMS],
        uint64_t executions)
{
    bool any = executions;
    int i, r;

    for (i = 0; i < SUMS; i++)
        any |= sums[i] > 0;
    if (!any)
        return SQLITE_OK;
    r = add_to(db,
               "INSERT INTO hours(sandbox," SUM_COLUMNS ",hour) "
               "VALUES(?,?,?,?,?,?,?,?,?) "
               "ON CONFLICT(sandbox,hour) DO UPDATE SET " ADD_EXCLUDED,
               id, sums, executions);
    if (r != SQLITE_OK)
        return r;
    return add_to(db,
                  "INSERT INTO totals(sandbox," SUM_COLUMNS ") VALUES(?,?,?,?,?,?,?,?) "
                  "ON CONFLICT(sandbox) DO UPDATE SET " ADD_EXCLUDED,
                  id, sums, executions);
}

static int
put_account(sqlite3 *db, const struct kh_row_account *row, const uint64_t sums[SUMS])
{
    sqlite3_stmt *stmt = NULL;
    int i, r = prepare(db,
                       "INSERT INTO accounts VALUES(?,?,?,?,?,?,?,?,?,?,?,?) "
                       "ON CONFLICT(id) DO UPDATE SET name=excluded.name,"
                       "removed=max(removed,excluded.removed),"
                       "disk_now=excluded.disk_now,cpu_usec=excluded.cpu_usec,"
                       "memory=excluded.memory,disk=excluded.disk,"
                       "running_ms=excluded.running_ms,frozen_ms=excluded.frozen_ms,"
                       "hibernated_ms=excluded.hibernated_ms",
                       &stmt);

    sqlite3_bind_blob(stmt, 1, row->id, KH_ID_SIZE, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, row->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, KH_DATABASE_OWNER, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)row->created);
    sqlite3_bind_int64(stmt, 5, row->removed ? time(NULL) : 0);
    sqlite3_bind_int64(stmt, 6,
                       row->removed ? 0 : (sqlite3_int64)row->account.disk_now);
    for (i = 0; i < SUMS; i++)
        sqlite3_bind_int64(stmt, 7 + i, (sqlite3_int64)sums[i]);
    return finish(stmt, r);
}

int
kh_database_usage_account(sqlite3 *db, const struct kh_row_account *row)
{
    uint64_t sums[SUMS], more[SUMS], last[SUMS];
    sqlite3_stmt *stmt = NULL;
    int r = prepare(db,
                    "SELECT cpu_usec,memory,disk,running_ms,frozen_ms,hibernated_ms "
                    "FROM accounts WHERE id=?",
                    &stmt);

    sqlite3_bind_blob(stmt, 1, row->id, KH_ID_SIZE, SQLITE_STATIC);
    r = read_last(stmt, r, last, SUMS);
    sums_of(&row->account, sums);
    memcpy(more, sums, sizeof(more));
    subtract(more, last, SUMS);
    if (r == SQLITE_OK)
        r = add_use(db, row->id, more, 0);
    return r == SQLITE_OK ? put_account(db, row, sums) : r;
}

enum { EXECUTIONS, WORK_CPU, WORK_WALL, WORKS };

static int
put_work(sqlite3 *db, const struct kh_row_work *row, const uint64_t more[WORKS])
{
    const uint64_t seen[WORKS] = {row->executions, row->cpu_usec, row->wall_usec};
    sqlite3_stmt *stmt = NULL;
    int i, r = prepare(db,
                       "INSERT INTO works VALUES(?,?,?,?,?,?,?,?,?,?) "
                       "ON CONFLICT(kernel) DO UPDATE SET "
                       "executions=executions+excluded.executions,"
                       "cpu_usec=cpu_usec+excluded.cpu_usec,"
                       "wall_usec=wall_usec+excluded.wall_usec,epoch=excluded.epoch,"
                       "seen_executions=excluded.seen_executions,"
                       "seen_cpu_usec=excluded.seen_cpu_usec,"
                       "seen_wall_usec=excluded.seen_wall_usec",
                       &stmt);

    sqlite3_bind_text(stmt, 1, row->kernel, -1, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 2, row->sandbox, KH_ID_SIZE, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, row->kind, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 7, (sqlite3_int64)row->epoch);
    for (i = 0; i < WORKS; i++) {
        sqlite3_bind_int64(stmt, 4 + i, (sqlite3_int64)more[i]);
        sqlite3_bind_int64(stmt, 8 + i, (sqlite3_int64)seen[i]);
    }
    return finish(stmt, r);
}

int
kh_database_usage_work(sqlite3 *db, const struct kh_row_work *row)
{
    static const uint64_t none[SUMS];
    uint64_t more[WORKS] = {row->executions, row->cpu_usec, row->wall_usec};
    uint64_t last[WORKS + 1];
    sqlite3_stmt *stmt = NULL;
    int r = prepare(db,
                    "SELECT seen_executions,seen_cpu_usec,seen_wall_usec,epoch "
                    "FROM works WHERE kernel=?",
                    &stmt);

    sqlite3_bind_text(stmt, 1, row->kernel, -1, SQLITE_STATIC);
    r = read_last(stmt, r, last, WORKS + 1);
    if (last[WORKS] == row->epoch)
        subtract(more, last, WORKS);
    if (r == SQLITE_OK)
        r = add_use(db, row->sandbox, none, more[EXECUTIONS]);
    return r == SQLITE_OK ? put_work(db, row, more) : r;
}

/* ---- thinning ---- */

/* Before the day that begins here there are days, and no hours. */
static uint64_t
days_until(uint64_t now)
{
    return now > KH_LEDGER_HOURS_S ? (now - KH_LEDGER_HOURS_S) / DAY_S * DAY_S : 0;
}

uint64_t
kh_database_ledger_since(uint64_t since, uint64_t now)
{
    return since < days_until(now) ? since / DAY_S * DAY_S : since / HOUR_S * HOUR_S;
}

static int
run(sqlite3 *db, const char *sql, uint64_t value)
{
    sqlite3_stmt *stmt = NULL;
    int r = prepare(db, sql, &stmt);

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64)value);
    return finish(stmt, r);
}

int
kh_database_usage_thin(sqlite3 *db, uint64_t now)
{
    static const char *const steps[] = {
        ("INSERT INTO hours(sandbox,hour," SUM_COLUMNS
         ") SELECT sandbox,hour/86400*86400,"
         "total(cpu_usec),total(memory),total(disk),total(running_ms),total(frozen_ms),"
         "total(hibernated_ms),total(executions) FROM hours "
         "WHERE hour<?1 AND hour%86400<>0 GROUP BY sandbox,hour/86400 "
         "ON CONFLICT(sandbox,hour) DO UPDATE SET " ADD_EXCLUDED),
        "DELETE FROM hours WHERE hour<?1 AND hour%86400<>0",
        "DELETE FROM works WHERE sandbox IN "
        "(SELECT id FROM accounts WHERE removed>0 AND removed<?1)",
    };
    int r = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    size_t i;

    for (i = 0; r == SQLITE_OK && i < KH_COUNT(steps); i++)
        r = run(db, steps[i], days_until(now));
    if (r == SQLITE_OK)
        r = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (r != SQLITE_OK)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

/* ---- reading ---- */

static void
take_text(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    memset(out, 0, size);
    if (text)
        memcpy(out, text, strnlen(text, size - 1));
}

static void
take_id(sqlite3_stmt *stmt, int column, uint8_t out[KH_ID_SIZE])
{
    memset(out, 0, KH_ID_SIZE);
    if (sqlite3_column_bytes(stmt, column) == KH_ID_SIZE)
        memcpy(out, sqlite3_column_blob(stmt, column), KH_ID_SIZE);
}

static void
take_used(sqlite3_stmt *stmt, void *row)
{
    struct kh_used *used = row;

    take_id(stmt, 0, used->id);
    take_text(stmt, 1, used->name, sizeof(used->name));
    take_text(stmt, 2, used->owner, sizeof(used->owner));
    used->created = (uint64_t)sqlite3_column_int64(stmt, 3);
    used->removed = (uint64_t)sqlite3_column_int64(stmt, 4);
    used->disk_now = (uint64_t)sqlite3_column_int64(stmt, 5);
    used->cpu_usec = sqlite3_column_double(stmt, 6);
    used->memory = sqlite3_column_double(stmt, 7);
    used->disk = sqlite3_column_double(stmt, 8);
    used->running_ms = sqlite3_column_double(stmt, 9);
    used->frozen_ms = sqlite3_column_double(stmt, 10);
    used->hibernated_ms = sqlite3_column_double(stmt, 11);
    used->executions = sqlite3_column_double(stmt, 12);
}

static void
take_worked(sqlite3_stmt *stmt, void *row)
{
    struct kh_worked *worked = row;

    take_text(stmt, 0, worked->kernel, sizeof(worked->kernel));
    take_id(stmt, 1, worked->sandbox);
    take_text(stmt, 2, worked->kind, sizeof(worked->kind));
    worked->executions = (uint64_t)sqlite3_column_int64(stmt, 3);
    worked->cpu_usec = (uint64_t)sqlite3_column_int64(stmt, 4);
    worked->wall_usec = (uint64_t)sqlite3_column_int64(stmt, 5);
}

static int
read_rows(sqlite3_stmt *stmt, size_t size, void (*take)(sqlite3_stmt *, void *row),
          void *ret_rows, size_t *ret_count)
{
    size_t count = 0, room = 0;
    char *rows = NULL;
    int r = SQLITE_ROW;

    while (count < ROWS_MAX && (r = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (count == room) {
            room = room ? 2 * room : 64;
            rows = kh_xrealloc(rows, room * size);
        }
        take(stmt, rows + count++ * size);
    }
    sqlite3_finalize(stmt);
    memcpy(ret_rows, &rows, sizeof(rows));
    *ret_count = count;
    return r == SQLITE_DONE || r == SQLITE_ROW ? SQLITE_OK : r;
}

static const char in_all[] =
    "SELECT a.id,a.name,a.owner,a.created,a.removed,a.disk_now,"
    "t.cpu_usec,t.memory,t.disk,t.running_ms,t.frozen_ms,t.hibernated_ms,t.executions "
    "FROM accounts a LEFT JOIN totals t ON t.sandbox=a.id "
    "WHERE (?1='' OR a.name=?1) AND (a.removed=0 OR t.sandbox IS NOT NULL) "
    "ORDER BY a.name,a.created DESC";
static const char by_hours[] =
    "SELECT a.id,a.name,a.owner,a.created,a.removed,a.disk_now,"
    "total(h.cpu_usec),total(h.memory),total(h.disk),total(h.running_ms),"
    "total(h.frozen_ms),total(h.hibernated_ms),total(h.executions) "
    "FROM accounts a LEFT JOIN hours h ON h.sandbox=a.id AND h.hour>=?2 "
    "WHERE ?1='' OR a.name=?1 GROUP BY a.id HAVING a.removed=0 OR count(h.hour)>0 "
    "ORDER BY a.name,a.created DESC";

/* Removed ones that have used nothing since then are left out. */
int
kh_database_usage_read(sqlite3 *db, uint64_t since, const char *name,
                       struct kh_ledger_sheet *ret_sheet)
{
    struct kh_ledger_sheet sheet = {0};
    uint64_t hour = kh_database_ledger_since(since, (uint64_t)time(NULL));
    sqlite3_stmt *stmt = NULL;
    int r = prepare(db, since ? by_hours : in_all, &stmt);

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    if (since)
        sqlite3_bind_int64(stmt, 2, (sqlite3_int64)hour);
    if (r == SQLITE_OK)
        r = read_rows(stmt, sizeof(*sheet.used), take_used, &sheet.used,
                      &sheet.used_count);
    if (r == SQLITE_OK && since == 0)
        r = prepare(db,
                    "SELECT w.kernel,w.sandbox,w.kind,w.executions,w.cpu_usec,"
                    "w.wall_usec FROM works w JOIN accounts a ON a.id=w.sandbox "
                    "WHERE ?1='' OR a.name=?1 ORDER BY w.sandbox,w.kernel",
                    &stmt);
    if (r == SQLITE_OK && since == 0) {
        sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
        r = read_rows(stmt, sizeof(*sheet.worked), take_worked, &sheet.worked,
                      &sheet.worked_count);
    }
    *ret_sheet = sheet;
    return r;
}

void
kh_database_sheet_release(struct kh_ledger_sheet *sheet)
{
    free(sheet->used);
    free(sheet->worked);
    memset(sheet, 0, sizeof(*sheet));
}
