/* The ledger in the database: sums that are put again and again count once. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/metering.h"
#include "tests/tap.h"

#define ID "01234567-89ab-cdef-0123-456789abcdef"

static char dir[] = "/tmp/kh-usage-XXXXXX";
static struct kh_loop *loop;
static struct kh_used used[4];
static struct kh_worked worked[4];
static size_t used_count, worked_count;
static bool read_done, read_failed;

static void
on_sheet(void *arg, const struct kh_ledger_sheet *sheet, const struct kh_error *err)
{
    (void)arg;
    read_done = true;
    read_failed = err != NULL;
    used_count = worked_count = 0;
    while (sheet && used_count < sheet->used_count && used_count < 4) {
        used[used_count] = sheet->used[used_count];
        used_count++;
    }
    while (sheet && worked_count < sheet->worked_count && worked_count < 4) {
        worked[worked_count] = sheet->worked[worked_count];
        worked_count++;
    }
    kh_loop_stop(loop);
}

static bool
read_ledger(struct kh_database *database, uint64_t since, const char *name)
{
    read_done = false;
    kh_database_read_ledger(database, since, name, on_sheet, NULL);
    if (!read_done)
        kh_loop_run(loop);
    return !read_failed;
}

static void
put(struct kh_database *database, const char *name, uint8_t id, uint64_t cpu,
    bool removed)
{
    struct kh_row_account row = {
        .id = {id},
        .created = 1000 + id,
        .removed = removed,
        .account = {
            .cpu_usec = cpu, .memory = 2 * cpu, .running_ms = 3 * cpu, .disk_now = 77}};

    snprintf(row.name, sizeof(row.name), "%s", name);
    kh_database_put_account(database, &row);
}

static void
accounts(void)
{
    struct kh_database *database = kh_database_open(loop, dir);

    ok(kh_database_lasts(database), "it lasts");
    ok(read_ledger(database, 0, NULL) && !used_count, "a new one is empty");
    put(database, "box", 1, 100, false);
    put(database, "box", 1, 100, false);
    put(database, "box", 1, 150, false);
    ok(read_ledger(database, 0, NULL) && used_count == 1 && used[0].cpu_usec == 150 &&
           used[0].memory == 300 && used[0].running_ms == 450 && used[0].disk_now == 77,
       "what was put before is not added again");
    ok(!strcmp(used[0].owner, "local") && used[0].created == 1001 && !used[0].removed,
       "with whose it is");
    kh_database_close(database);
    database = kh_database_open(loop, dir);
    put(database, "box", 1, 160, false);
    ok(read_ledger(database, 0, NULL) && used[0].cpu_usec == 160,
       "nor by the next gateway");
    put(database, "box", 1, 120, false);
    ok(read_ledger(database, 0, NULL) && used[0].cpu_usec == 160,
       "a sum does not fall");
    put(database, "box", 1, 130, false);
    ok(read_ledger(database, 0, NULL) && used[0].cpu_usec == 170,
       "what follows an older sum is new all the same");
    put(database, "box", 1, 140, true);
    put(database, "box", 2, 5, false);
    put(database, "other", 3, 7, false);
    ok(read_ledger(database, 0, "box") && used_count == 2 && used[0].id[0] == 2 &&
           used[1].cpu_usec == 180 && used[1].removed && !used[1].disk_now,
       "a removed one stays, behind a later one of its name");
    ok(read_ledger(database, 0, NULL) && used_count == 3, "among all");
    ok(read_ledger(database, (uint64_t)time(NULL) - 7200, NULL) && used_count == 3,
       "it was used in these hours");
    ok(read_ledger(database, (uint64_t)time(NULL) + 7200, NULL) && used_count == 2 &&
           used[0].cpu_usec == 0,
       "and not in later ones, for which what is removed is not there");
    kh_database_close(database);
}

static void
put_work(struct kh_database *database, uint64_t epoch, uint64_t executions)
{
    struct kh_row_work row = {.kernel = ID,
                              .sandbox = {3},
                              .kind = "python",
                              .epoch = epoch,
                              .executions = executions,
                              .cpu_usec = 10 * executions,
                              .wall_usec = 20 * executions};

    kh_database_put_work(database, &row);
}

static void
works(void)
{
    struct kh_database *database = kh_database_open(loop, dir);

    put_work(database, 7, 2);
    put_work(database, 7, 5);
    ok(read_ledger(database, 0, "other") && worked_count == 1 &&
           worked[0].executions == 5 && worked[0].cpu_usec == 50 &&
           worked[0].wall_usec == 100 && used[0].executions == 5,
       "executions are counted, for the kernel and its sandbox");
    put_work(database, 8, 1);
    ok(read_ledger(database, 0, "other") && worked[0].executions == 6 &&
           used[0].executions == 6,
       "a counter that begins anew goes on");
    kh_database_close(database);
}

/* The file as it is; what a query of one number says. */
static long long
ask_file(const char *sql)
{
    char path[200];
    sqlite3_stmt *stmt = NULL;
    long long number = -1;
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/" KH_DATABASE_FILE, dir);
    sqlite3_open(path, &db);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_column_count(stmt) && sqlite3_step(stmt) == SQLITE_ROW)
        number = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return number;
}

#define HOURS_OF_OTHER "SELECT count(*) FROM hours WHERE hex(sandbox) LIKE '03%'"

/* A file of an earlier version, with hours of two days and one hour, long ago. */
static void
make_old(uint64_t begin)
{
    char sql[900];

    snprintf(sql, sizeof(sql),
             "DROP TABLE totals;PRAGMA user_version=2;"
             "UPDATE accounts SET removed=%llu WHERE hex(id) LIKE '03%%';"
             "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i<48) "
             "INSERT INTO hours SELECT id,%llu+3600*i,10,20,30,40,50,60,2 "
             "FROM n JOIN accounts WHERE hex(id) LIKE '03%%'",
             (unsigned long long)begin + 49 * 3600, (unsigned long long)begin);
    ask_file(sql);
}

static void
thins(void)
{
    uint64_t begin = ((uint64_t)time(NULL) - 200 * 86400ull) / 86400 * 86400;
    uint64_t within = begin + 86400 + 5 * 3600;
    struct kh_database *database;
    struct kh_used all, late;

    make_old(begin);
    is_int(ask_file(HOURS_OF_OTHER), 50, "a sandbox has fifty hours");
    database = kh_database_open(loop, dir);
    ok(read_ledger(database, 0, "other") && used_count == 1 &&
           used[0].cpu_usec == 7 + 490 && used[0].executions == 6 + 98 &&
           worked_count == 1,
       "what an earlier version has written is added up");
    all = used[0];
    ok(read_ledger(database, within, "other") && used[0].cpu_usec == 7 + 250 &&
           used[0].executions == 6 + 50,
       "since an hour of long ago is since its day");
    late = used[0];
    kh_database_close(database);
    is_int(ask_file(HOURS_OF_OTHER), 4, "which is three days now, and this hour");
    database = kh_database_open(loop, dir);
    put(database, "other", 3, 8, true);
    ok(read_ledger(database, 0, "other") && !worked_count, "the kernel is forgotten");
    used[0].cpu_usec--;
    used[0].memory -= 2;
    used[0].running_ms -= 3;
    ok(used[0].cpu_usec == all.cpu_usec && used[0].memory == all.memory &&
           used[0].disk == all.disk && used[0].running_ms == all.running_ms &&
           used[0].frozen_ms == all.frozen_ms &&
           used[0].hibernated_ms == all.hibernated_ms &&
           used[0].executions == all.executions,
       "totals are the same, and what was added");
    ok(read_ledger(database, within, "other") &&
           used[0].cpu_usec == late.cpu_usec + 1 && used[0].disk == late.disk &&
           used[0].frozen_ms == late.frozen_ms,
       "and what was used since that day");
    ok(read_ledger(database, begin + 3 * 86400, "other") && used[0].cpu_usec == 8,
       "and since the next");
    kh_database_close(database);
    is_int((long long)kh_database_ledger_since(within, (uint64_t)time(NULL)),
           (long long)begin + 86400, "from when it was read is told");
    is_int((long long)kh_database_ledger_since(within, within), (long long)within,
           "hours of the last hundred days are hours");
}

static void
counts(void)
{
    struct kh_ledger_kernel note = {.init = 4};
    const struct kh_ledger_work *work;
    const char text[] = "{\"kernelhost\":{\"cpu_seconds\":0.5,\"wall_seconds\":2}}";
    const char wrong[] = "{\"kernelhost\":{\"cpu_seconds\":1e300,\"wall_seconds\":-1}}";
    struct kh_slice told = {text, sizeof(text) - 1};

    kh_metering_count(&note, 10, told);
    kh_metering_count(&note, 10, told);
    kh_metering_count(&note, 9, told);
    work = &note.work[note.working & 1];
    ok(work->executions == 1 && work->cpu_usec == 500000 &&
           work->wall_usec == 2000000 && note.epoch,
       "an entry that is read again is not counted again");
    kh_metering_count(&note, 12, (struct kh_slice){wrong, sizeof(wrong) - 1});
    kh_metering_count(&note, 13, (struct kh_slice){"{}", 2});
    work = &note.work[note.working & 1];
    ok(work->executions == 3 && work->cpu_usec == 500000,
       "what is impossible is not believed");
    note.init = 5;
    kh_metering_count(&note, 3, told);
    work = &note.work[note.working & 1];
    ok(work->executions == 4 && work->cpu_usec == 1000000,
       "another init has other entries");
}

static void
nowhere(void)
{
    struct kh_database *database = kh_database_open(loop, NULL);

    ok(!kh_database_lasts(database) && !read_ledger(database, 0, NULL),
       "where nothing is kept nothing can be read");
    kh_database_close(database);
}

int
main(void)
{
    if (!mkdtemp(dir))
        return 1;
    loop = kh_loop_new();
    accounts();
    works();
    thins();
    counts();
    nowhere();
    kh_loop_free(loop);
    remove_tree(dir);
    return done();
}
