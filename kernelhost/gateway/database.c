#include "kernelhost/gateway/database.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/database_own.h"

#define THIN_S (24u * 3600)

struct queue {
    struct kh_database_op *first, **tail;
    size_t count;
};

struct kh_database {
    char *dir; /* NULL: nothing is kept */
    struct kh_database_rows rows;
    struct kh_watch *watch;
    int event; /* the thread has done something */
    bool full; /* more waited than may; told once */

    pthread_t thread;
    bool threaded;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t more;
    struct queue asked, done;
    bool ending;
    uint64_t failures;    /* lists or single writes that are lost */
    struct kh_error lost; /* why the last one is */

    sqlite3 *db;      /* the thread's, once it runs; NULL: to be opened */
    bool complains;   /* it has told of an error */
    uint64_t thinned; /* when */
};

static void
push(struct queue *queue, struct kh_database_op *op)
{
    op->next = NULL;
    *queue->tail = op;
    queue->tail = &op->next;
    queue->count++;
}

static struct kh_database_op *
take_all(struct queue *queue)
{
    struct kh_database_op *list = STEAL_PTR(queue->first);

    queue->tail = &queue->first;
    queue->count = 0;
    return list;
}

static void
free_op(struct kh_database_op *op)
{
    if (op->verb == KH_DB_PUT_BINDING)
        kh_connfile_wipe(&op->row.binding.file);
    kh_database_sheet_release(&op->sheet);
    free(op);
}

/* ---- in the thread ---- */

static int
write_list(struct kh_database *database, struct kh_database_op *list,
           struct kh_error *err)
{
    struct kh_database_rows rows;
    int r = 0;

    if (!database->db) {
        r = kh_database_sql_open(database->dir, &database->db, &rows, err);
        if (r == 0)
            kh_database_rows_release(&rows);
    }
    if (r == 0)
        r = kh_database_sql_write(database->db, list, err);
    if (r < 0 && !database->complains)
        kh_log(KH_LOG_ERROR, "%s", err->text);
    database->complains = r < 0;
    return r;
}

static void
write_down(struct kh_database *database, struct kh_database_op *list)
{
    struct kh_error err = {0};
    struct kh_database_op *op, *next;
    uint64_t one = 1;

    write_list(database, list, &err);
    pthread_mutex_lock(&database->lock);
    if (err.code) {
        database->failures++;
        database->lost = err;
    }
    for (op = list; op; op = next) {
        next = op->next;
        op->err = err;
        if (op->verb == KH_DB_SYNC && op->mark != database->failures)
            op->err = database->lost;
        if (op->verb == KH_DB_SYNC || op->verb == KH_DB_READ_LEDGER)
            push(&database->done, op);
        else
            free_op(op);
    }
    pthread_mutex_unlock(&database->lock);
    (void)!write(database->event, &one, sizeof(one));
}

/* Once a day. Nothing waits for it but what is asked for meanwhile. */
static void
thin(struct kh_database *database)
{
    uint64_t now = (uint64_t)time(NULL);

    if (!database->db || now < database->thinned + THIN_S)
        return;
    database->thinned = now;
    if (kh_database_usage_thin(database->db, now) != SQLITE_OK)
        kh_log(KH_LOG_WARN, "the ledger of use is not thinned why=%s",
               sqlite3_errmsg(database->db));
}

static void *
work(void *arg)
{
    struct kh_database *database = arg;
    struct kh_database_op *list;

    pthread_mutex_lock(&database->lock);
    while (database->asked.first || !database->ending) {
        if (!database->asked.first) {
            pthread_cond_wait(&database->more, &database->lock);
            continue;
        }
        list = take_all(&database->asked);
        pthread_mutex_unlock(&database->lock);
        write_down(database, list);
        thin(database);
        pthread_mutex_lock(&database->lock);
    }
    pthread_mutex_unlock(&database->lock);
    return NULL;
}

/* ---- in the loop ---- */

/* WHY replaces success. */
static void
tell(struct kh_database_op *list, const struct kh_error *why)
{
    struct kh_database_op *next;

    for (; list; list = next) {
        const struct kh_error *failed = list->err.code ? &list->err : why;

        next = list->next;
        if (list->verb == KH_DB_SYNC)
            list->fn(list->arg, failed);
        else
            list->sheet_fn(list->arg, failed ? NULL : &list->sheet, failed);
        free_op(list);
    }
}

static void
on_event(void *arg, unsigned events)
{
    struct kh_database *database = arg;
    struct kh_database_op *list;
    uint64_t count;

    (void)events;
    (void)!read(database->event, &count, sizeof(count));
    pthread_mutex_lock(&database->lock);
    list = take_all(&database->done);
    pthread_mutex_unlock(&database->lock);
    tell(list, NULL);
}

static int
begin(struct kh_database *database, struct kh_loop *loop, struct kh_error *err)
{
    database->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (database->event < 0)
        return kh_fail_errno(err, "cannot make an eventfd");
    database->watch = kh_watch_new(loop, database->event, on_event, database, err);
    if (!database->watch)
        return -err->code;
    kh_watch_set(database->watch, KH_WATCH_READ);
    if (pthread_create(&database->thread, NULL, work, database) != 0)
        return kh_fail(err, EAGAIN, "cannot start the registry's thread");
    database->threaded = true;
    return 0;
}

struct kh_database *
kh_database_open(struct kh_loop *loop, const char *dir)
{
    struct kh_database *database = kh_xcalloc(1, sizeof(*database));
    struct kh_error err;

    database->event = -1;
    database->asked.tail = &database->asked.first;
    database->done.tail = &database->done.first;
    pthread_mutex_init(&database->lock, NULL);
    pthread_cond_init(&database->more, NULL);
    if (!dir)
        return database;
    database->dir = kh_xstrdup(dir);
    if (kh_database_sql_open(dir, &database->db, &database->rows, &err) < 0)
        kh_log(KH_LOG_ERROR, "%s (it is tried again)", err.text);
    if (begin(database, loop, &err) < 0) {
        kh_log(KH_LOG_ERROR, "the registry is not kept why=%s", err.text);
        free(STEAL_PTR(database->dir));
    }
    return database;
}

void
kh_database_close(struct kh_database *database)
{
    struct kh_error ending;

    if (!database)
        return;
    kh_fail(&ending, ECANCELED, "the host is ending");
    pthread_mutex_lock(&database->lock);
    database->ending = true;
    pthread_cond_signal(&database->more);
    pthread_mutex_unlock(&database->lock);
    if (database->threaded)
        pthread_join(database->thread, NULL);
    tell(take_all(&database->done), &ending);
    sqlite3_close(database->db);
    kh_watch_close(database->watch);
    kh_fd_close(&database->event);
    kh_database_rows_release(&database->rows);
    pthread_cond_destroy(&database->more);
    pthread_mutex_destroy(&database->lock);
    free(database->dir);
    free(database);
}

const struct kh_row_sandbox *
kh_database_sandbox(const struct kh_database *database, size_t index)
{
    return index < database->rows.sandboxes ? &database->rows.sandbox[index] : NULL;
}

const struct kh_row_kernel *
kh_database_kernel(const struct kh_database *database, size_t index)
{
    return index < database->rows.kernels ? &database->rows.kernel[index] : NULL;
}

const struct kh_row_binding *
kh_database_binding(const struct kh_database *database, size_t index)
{
    return index < database->rows.bindings ? &database->rows.binding[index] : NULL;
}

void
kh_database_loaded(struct kh_database *database)
{
    kh_database_rows_release(&database->rows);
}

static void
ask(struct kh_database *database, struct kh_database_op *op)
{
    bool room;

    pthread_mutex_lock(&database->lock);
    room = database->dir && database->asked.count < KH_DATABASE_WAITING;
    if (room) {
        push(&database->asked, op);
    } else if (database->dir) {
        database->failures++;
        kh_fail(&database->lost, ENOBUFS, "too much waits for the registry");
    }
    pthread_cond_signal(&database->more);
    pthread_mutex_unlock(&database->lock);
    if (room)
        return;
    if (database->dir && !database->full)
        kh_log(KH_LOG_ERROR, "too much waits for the registry: some is not kept");
    database->full = database->dir;
    free_op(op);
}

static struct kh_database_op *
new_op(enum kh_database_verb verb)
{
    struct kh_database_op *op = kh_xcalloc(1, sizeof(*op));

    op->verb = verb;
    return op;
}

void
kh_database_put_sandbox(struct kh_database *database, const struct kh_row_sandbox *row)
{
    struct kh_database_op *op = new_op(KH_DB_PUT_SANDBOX);

    op->row.sandbox = *row;
    ask(database, op);
}

void
kh_database_put_kernel(struct kh_database *database, const struct kh_row_kernel *row)
{
    struct kh_database_op *op = new_op(KH_DB_PUT_KERNEL);

    op->row.kernel = *row;
    ask(database, op);
}

void
kh_database_put_binding(struct kh_database *database, const struct kh_row_binding *row)
{
    struct kh_database_op *op = new_op(KH_DB_PUT_BINDING);

    op->row.binding = *row;
    ask(database, op);
}

void
kh_database_drop_sandbox(struct kh_database *database, const uint8_t id[KH_ID_SIZE])
{
    struct kh_database_op *op = new_op(KH_DB_DROP_SANDBOX);

    memcpy(op->row.sandbox.id, id, KH_ID_SIZE);
    ask(database, op);
}

void
kh_database_drop_kernel(struct kh_database *database, const char *id)
{
    struct kh_database_op *op = new_op(KH_DB_DROP_KERNEL);

    snprintf(op->row.kernel.id, sizeof(op->row.kernel.id), "%s", id);
    ask(database, op);
}

void
kh_database_put_account(struct kh_database *database, const struct kh_row_account *row)
{
    struct kh_database_op *op = new_op(KH_DB_PUT_ACCOUNT);

    op->row.account = *row;
    ask(database, op);
}

void
kh_database_put_work(struct kh_database *database, const struct kh_row_work *row)
{
    struct kh_database_op *op = new_op(KH_DB_PUT_WORK);

    op->row.work = *row;
    ask(database, op);
}

bool
kh_database_lasts(const struct kh_database *database)
{
    return database->dir != NULL;
}

/* Also when there is no room for more writes: somebody waits for it. */
static void
ask_for(struct kh_database *database, struct kh_database_op *op)
{
    pthread_mutex_lock(&database->lock);
    push(&database->asked, op);
    pthread_cond_signal(&database->more);
    pthread_mutex_unlock(&database->lock);
}

void
kh_database_read_ledger(struct kh_database *database, uint64_t since, const char *name,
                        kh_database_sheet_fn *fn, void *arg)
{
    struct kh_database_op *op;
    struct kh_error err;

    if (!database->dir) {
        kh_fail(&err, EAGAIN, "this host keeps no ledger");
        fn(arg, NULL, &err);
        return;
    }
    op = new_op(KH_DB_READ_LEDGER);
    op->row.query.since = since;
    snprintf(op->row.query.name, sizeof(op->row.query.name), "%s", name ? name : "");
    op->sheet_fn = fn;
    op->arg = arg;
    ask_for(database, op);
}

uint64_t
kh_database_mark(struct kh_database *database)
{
    uint64_t mark;

    pthread_mutex_lock(&database->lock);
    mark = database->failures;
    pthread_mutex_unlock(&database->lock);
    return mark;
}

void
kh_database_sync(struct kh_database *database, uint64_t mark, kh_database_fn *fn,
                 void *arg)
{
    struct kh_database_op *op;

    if (!database->dir) {
        fn(arg, NULL);
        return;
    }
    op = new_op(KH_DB_SYNC);
    op->mark = mark;
    op->fn = fn;
    op->arg = arg;
    ask_for(database, op);
}
