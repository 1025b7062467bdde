#include "kernelhost/cli/run.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/notebook.h"
#include "kernelhost/cli/outputs.h"
#include "kernelhost/cli/session.h"
#include "kernelhost/cli/text.h"
#include "protocol/jupyter/jsontree.h"

struct book {
    struct kh_run *run;
    struct kh_session *session;
    struct kh_outputs *outputs;
    json_t *notebook;
    size_t code_cells, at; /* how many there are; the number of this one */
};

static void
on_message(const json_t *message, const char *text, size_t size, void *arg)
{
    struct book *book = arg;

    kh_outputs_add(book->outputs, message, size);
    if (!book->run->cli->json) {
        kh_render_message(&book->run->render, message);
    } else {
        kh_fd_write_full(STDOUT_FILENO, text, size);
        kh_fd_write_full(STDOUT_FILENO, "\n", 1);
    }
}

static double
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* "[3/12] running" on a terminal that nothing else is printed to. */
static void
say_running(const struct book *book)
{
    if (book->run->render.quiet && isatty(STDERR_FILENO))
        fprintf(stderr, "\r[%zu/%zu] running\033[K", book->at, book->code_cells);
}

static void
say(const struct book *book, const char *what, double since)
{
    if (book->run->render.quiet && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    fprintf(stderr, "[%zu/%zu] %s", book->at, book->code_cells, what);
    if (since > 0)
        fprintf(stderr, " %.1f s", seconds() - since);
    fprintf(stderr, "\n");
}

static bool
is_blank(const struct kh_buf *source)
{
    size_t i;

    for (i = 0; i < kh_buf_len(source); i++)
        if (!strchr(" \t\r\n\f\v", kh_buf_ptr(source)[i]))
            return false;
    return true;
}

/* "error NameError": the name is the sandbox's word, so escaped and cut. */
static void
say_error(const struct book *book, const struct kh_cell_end *end, double since)
{
    AUTO_FREE char *name = kh_text_safe_copy(kh_http_text(end->reply, "ename"));
    static const char *const words[] = {[KH_CELL_ERROR] = "error",
                                        [KH_CELL_ABORTED] = "aborted",
                                        [KH_CELL_LEFT] = "left"};
    char what[80];

    snprintf(what, sizeof(what), "%s%s%.60s",
             end->interrupted ? "interrupted" : words[end->status], *name ? " " : "",
             name);
    say(book, what, since);
}

/* Returns -errno, an exit status to stop with, or KH_EXIT_OK to go on. */
static int
run_cell(struct book *book, json_t *cell, const struct kh_buf *source,
         struct kh_error *err)
{
    bool tolerated =
        book->run->allow_errors || kh_notebook_has_tag(cell, "raises-exception");
    AUTO_JSON json_t *reply = NULL;
    struct kh_cell_end end = {0};
    double since = seconds();
    int r;

    say_running(book);
    book->run->render.expect_errors = tolerated;
    kh_outputs_begin(book->outputs, cell);
    r = kh_session_execute(book->session, kh_buf_ptr(source), kh_buf_len(source),
                           !tolerated, on_message, book, &end, err);
    kh_outputs_end(book->outputs);
    if (r < 0) {
        say(book, "failed", since);
        return r;
    }
    reply = end.reply;
    if (end.execution_count >= 0)
        json_object_set_new(cell, "execution_count", json_integer(end.execution_count));
    if (!book->run->cli->json && !book->run->render.quiet)
        kh_render_payload(reply);
    if (end.status == KH_CELL_OK)
        say(book, "ok", since);
    else
        say_error(book, &end, since);
    if (end.status == KH_CELL_LEFT)
        return KH_EXIT_SIGNAL + end.signal;
    if (end.interrupted && end.status != KH_CELL_OK)
        return KH_EXIT_SIGNAL + SIGINT;
    return end.status == KH_CELL_OK || tolerated ? KH_EXIT_OK : KH_EXIT_FAILURE;
}

/* A cell below the one that failed must not show what an earlier run printed. */
static void
forget_cells(json_t *cells, size_t from)
{
    for (; from < json_array_size(cells); from++) {
        json_t *cell = json_array_get(cells, from);

        if (!kh_notebook_is_code(cell))
            continue;
        json_object_set_new(cell, "outputs", json_array());
        json_object_set_new(cell, "execution_count", json_null());
    }
}

static int
run_cells(struct book *book, struct kh_error *err)
{
    json_t *cells = json_object_get(book->notebook, "cells"), *cell;
    int r = KH_EXIT_OK;
    size_t i;

    json_array_foreach(cells, i, cell)
    {
        struct kh_buf source = KH_BUF_INIT;

        if (!kh_notebook_is_code(cell))
            continue;
        book->at++;
        kh_notebook_source(cell, &source);
        if (kh_notebook_has_tag(cell, "skip-execution"))
            say(book, "skipped", 0);
        else if (is_blank(&source))
            say(book, "empty", 0);
        else
            r = run_cell(book, cell, &source, err);
        kh_buf_release(&source);
        if (r != KH_EXIT_OK) {
            forget_cells(cells, i + 1);
            break;
        }
    }
    return r;
}

static size_t
count_code(const json_t *notebook)
{
    const json_t *cells = json_object_get(notebook, "cells"), *cell;
    size_t i, count = 0;

    json_array_foreach(cells, i, cell) count += kh_notebook_is_code(cell);
    return count;
}

/* Known before the first cell runs, not after an hour of them. */
static int
check_target(const char *path, struct kh_error *err)
{
    AUTO_FREE char *copy = kh_xstrdup(path);
    const char *dir = dirname(copy);

    if (!strcmp(path, "-") || access(dir, W_OK) == 0)
        return 0;
    return kh_fail_errno(err, "cannot write to directory '%s'", dir);
}

int
kh_run_notebook(struct kh_run *run, const char *name, const char *data, size_t size,
                struct kh_error *err)
{
    AUTO(kh_session) struct kh_session *session = NULL;
    AUTO(kh_outputs) struct kh_outputs *outputs = kh_outputs_new();
    AUTO_JSON json_t *notebook = NULL;
    struct book book = {.run = run, .outputs = outputs};
    struct kh_error why = {0};
    int r, written = 0;

    r = run->out ? check_target(run->out, err) : 0;
    if (r == 0)
        r = kh_notebook_parse(name, data, size, &notebook, err);
    if (r == 0)
        r = kh_session_open(run->cli, run->sandbox,
                            run->language ? run->language
                                          : kh_notebook_language(notebook),
                            run->create, &session, err);
    if (r == 0)
        r = kh_session_prepare(session, err);
    if (r < 0)
        return r;
    book.session = session;
    book.notebook = notebook;
    book.code_cells = count_code(notebook);
    run->render.quiet = run->out != NULL;
    r = run_cells(&book, err);
    if (run->out)
        written = kh_notebook_write(notebook, run->out, &why);
    if (written < 0 && r >= 0) {
        if (err)
            *err = why;
        return written;
    }
    if (written < 0)
        kh_cli_complain(&why);
    return r;
}
