#include "kernelhost/gateway/database.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/tap.h"

#define ID "01234567-89ab-cdef-0123-456789abcdef"

static char dir[] = "/tmp/kh-database-XXXXXX";
static struct kh_loop *loop;
static bool written;
static struct kh_error written_error;

static const struct kh_row_sandbox box = {
    .id = {7}, .name = "box", .image = "default", .created = 5};
static const struct kh_row_kernel kernel = {
    .sandbox = {7}, .id = ID, .number = 3, .kind = "python"};

static void
on_written(void *arg, const struct kh_error *err)
{
    (void)arg;
    written = true;
    written_error = err ? *err : (struct kh_error){0};
    kh_loop_stop(loop);
}

/* True when all that was put since MARK was taken is on the disk. */
static bool
sync_since(struct kh_database *database, uint64_t mark)
{
    written = false;
    kh_database_sync(database, mark, on_written, NULL);
    if (!written)
        kh_loop_run(loop);
    return written && !written_error.code;
}

/* True when all that was put since it was opened is. */
static bool
sync_all(struct kh_database *database)
{
    return sync_since(database, 0);
}

static struct kh_row_binding
binding(const char *transport)
{
    struct kh_row_binding row = {.kernel = ID, .prefix = "k/12", .published = true};
    int i;

    snprintf(row.file.transport, sizeof(row.file.transport), "%s", transport);
    snprintf(row.file.ip, sizeof(row.file.ip), "%s",
             strcmp(transport, "tcp") ? "/x/k/12" : "127.0.0.1");
    snprintf(row.file.key, sizeof(row.file.key), "secret");
    snprintf(row.file.signature_scheme, sizeof(row.file.signature_scheme),
             "hmac-sha256");
    for (i = 0; i < KH_CHANNELS; i++)
        row.file.port[i] = (uint16_t)(1000 + i);
    return row;
}

static void
put_all(struct kh_database *database)
{
    struct kh_row_binding row = binding("tcp");

    kh_database_put_sandbox(database, &box);
    kh_database_put_kernel(database, &kernel);
    kh_database_put_binding(database, &row);
    row = binding("ipc");
    kh_database_put_binding(database, &row);
}

static void
keeps(void)
{
    struct kh_database *database = kh_database_open(loop, dir);
    const struct kh_row_binding *row;

    ok(!kh_database_sandbox(database, 0), "a new one is empty");
    put_all(database);
    ok(sync_all(database), "rows are written");
    kh_database_close(database);
    database = kh_database_open(loop, dir);
    ok(kh_database_sandbox(database, 0) && !kh_database_sandbox(database, 1) &&
           !strcmp(kh_database_sandbox(database, 0)->name, box.name) &&
           !memcmp(kh_database_sandbox(database, 0)->id, box.id, sizeof(box.id)),
       "a sandbox is kept");
    ok(kh_database_kernel(database, 0) &&
           !strcmp(kh_database_kernel(database, 0)->id, ID) &&
           kh_database_kernel(database, 0)->number == 3,
       "a kernel is kept");
    row = kh_database_binding(database, 1);
    ok(row && !kh_database_binding(database, 2) && row->file.port[KH_CHANNEL_HB] &&
           row->file.port[KH_CHANNEL_IOPUB] == 1000 + KH_CHANNEL_IOPUB &&
           !strcmp(row->file.key, "secret") && row->published,
       "where it is bound as well");
    put_all(database);
    ok(sync_all(database), "the same again");
    kh_database_drop_kernel(database, ID);
    kh_database_close(database);
    database = kh_database_open(loop, dir);
    ok(kh_database_sandbox(database, 0) && !kh_database_kernel(database, 0) &&
           !kh_database_binding(database, 0),
       "with a kernel its bindings go");
    put_all(database);
    kh_database_drop_sandbox(database, box.id);
    put_all(database); /* comes late: its sandbox is there again */
    kh_database_drop_sandbox(database, box.id);
    kh_database_put_kernel(database, &kernel);
    ok(sync_all(database), "a row of what is gone is no error");
    kh_database_close(database);
    database = kh_database_open(loop, dir);
    ok(!kh_database_sandbox(database, 0) && !kh_database_kernel(database, 0),
       "with a sandbox all of it goes");
    put_all(database);
    kh_database_close(database);
}

static int
count_aside(void)
{
    DIR *list = opendir(dir);
    struct dirent *entry;
    int count = 0;

    while (list && (entry = readdir(list))) {
        static const char name[] = "db.damaged-";
        const char *at = strstr(entry->d_name, name);

        /* Its journals have more behind the number. */
        if (at && !strpbrk(at + sizeof(name) - 1, "-."))
            count++;
    }
    if (list)
        closedir(list);
    return count;
}

/* Overwrites SIZE bytes of the file at OFFSET. */
static void
scribble(off_t offset, size_t size)
{
    char path[200], noise[20000];
    int fd;

    snprintf(path, sizeof(path), "%s/" KH_DATABASE_FILE, dir);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    memset(noise, 0x5a, sizeof(noise));
    (void)!pwrite(fd, noise, size, offset);
    close(fd);
}

static void
is_made_anew(const char *what)
{
    struct kh_database *database = kh_database_open(loop, dir);

    ok(!kh_database_sandbox(database, 0), "%s: it begins anew", what);
    put_all(database);
    ok(sync_all(database), "%s: and can be written", what);
    kh_database_close(database);
}

static void
damaged(void)
{
    char path[200];
    sqlite3 *db;

    scribble(0, 100);
    is_made_anew("no database");
    is_int(count_aside(), 1, "the damaged one is set aside");
    sleep(1); /* its name has the second */
    scribble(4096, 16384);
    is_made_anew("damaged pages");
    is_int(count_aside(), 2, "set aside as well");
    sleep(1);
    snprintf(path, sizeof(path), "%s/" KH_DATABASE_FILE, dir);
    sqlite3_open(path, &db);
    sqlite3_exec(db, "PRAGMA user_version=999", NULL, NULL, NULL);
    sqlite3_close(db);
    is_made_anew("of a later version");
    is_int(count_aside(), 3, "kept for it");
    sleep(1);
    sqlite3_open(path, &db);
    sqlite3_exec(db, "DROP TABLE bindings", NULL, NULL, NULL);
    sqlite3_close(db);
    is_made_anew("without a table");
}

static void
no_room(void)
{
    struct kh_database *database = kh_database_open(loop, dir);
    struct rlimit limit, none;
    uint64_t before;
    bool failed;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    none = limit;
    none.rlim_cur = 1000;
    setrlimit(RLIMIT_FSIZE, &none);
    put_all(database);
    failed = !sync_all(database);
    ok(failed, "no room on the disk is told: %s", written_error.text);
    setrlimit(RLIMIT_FSIZE, &limit);
    before = kh_database_mark(database);
    put_all(database);
    ok(sync_since(database, before), "and once there is room it is written");
    ok(!sync_all(database), "what was lost before that stays known");
    kh_database_close(database);
    database = kh_database_open(loop, "/nowhere/at/all");
    ok(!kh_database_sandbox(database, 0), "without its directory it is empty");
    put_all(database);
    ok(!sync_all(database), "and who asks is told: %s", written_error.text);
    kh_database_close(database);
    database = kh_database_open(loop, NULL);
    put_all(database);
    ok(sync_all(database), "where nothing is to be kept nothing fails");
    kh_database_close(database);
}

int
main(void)
{
    if (!mkdtemp(dir))
        return 1;
    loop = kh_loop_new();
    keeps();
    damaged();
    no_room();
    kh_loop_free(loop);
    remove_tree(dir);
    return done();
}
