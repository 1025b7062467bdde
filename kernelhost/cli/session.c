#include "kernelhost/cli/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "protocol/jupyter/jsontree.h"

/* Signals are blocked meanwhile: a host that hangs must not hold the user. */
#define INTERRUPT_MS 15000
#define RETRY_MS     50
#define RETRIES      1200 /* a minute */
#define NOTICE_S     1    /* of silence before the user is told what is waited for */

struct kh_session {
    const struct kh_cli *cli;
    struct kh_http *http;
    char *sandbox;
    char *language;
    json_t *create; /* as the first request wants it, or NULL */
    char *kernel;   /* its id; NULL before the first cell */
    int sigfd;
    sigset_t old_mask;
};

/* The cell that runs. */
struct cell {
    struct kh_session *session;
    kh_message_fn *message;
    void *arg;
    struct kh_cell_end end;
    char request[33]; /* what we call it, to ask for the rest if the host goes away */
    char cursor[21];  /* of the last line that came; "": none yet */
    bool idle;        /* that was the last one */
    bool broken;      /* the host went away meanwhile */
    bool waits;       /* the user was told of it */
    bool begun;       /* the kernel has taken it up */
    bool told;        /* that it waits behind other code */
    bool replied;
};

/* The kernel of a language is called like it, with or without a number. */
static bool
speaks(const json_t *kernel, const char *language)
{
    const char *name = kh_http_text(kernel, "name");
    size_t length = strlen(language);

    return !strncmp(name, language, length) &&
           strspn(name + length, "0123456789") == strlen(name + length);
}

static const json_t *
pick_kernel(const json_t *kernels, const char *language, bool dead)
{
    const json_t *kernel;
    size_t i;

    json_array_foreach(
        kernels, i, kernel) if (speaks(kernel, language) &&
                                dead == !strcmp(kh_http_text(kernel, "execution_state"),
                                                "dead")) return kernel;
    return NULL;
}

/* POSTs to a route of the sandbox; *ret_answer is a new reference. */
static int
post(struct kh_session *s, const char *rest, json_t *body, json_t **ret_answer,
     struct kh_error *err)
{
    AUTO_FREE char *path = NULL;
    int r = kh_http_path(s->sandbox, rest, &path, err);

    return r < 0 ? r : kh_http_call(s->http, "POST", path, body, ret_answer, err);
}

/* A living kernel of the language: one there is, a dead one started again, or a
 * new one. *ret_kernel is a new reference. */
static int
get_kernel(struct kh_session *s, json_t *kernels, const char *language,
           json_t **ret_kernel, struct kh_error *err)
{
    AUTO_JSON json_t *body = NULL;
    AUTO_FREE char *restart = NULL;
    const json_t *kernel = pick_kernel(kernels, language, false);

    if (kernel) {
        *ret_kernel = json_incref((json_t *)kernel);
        return 0;
    }
    kernel = pick_kernel(kernels, language, true);
    if (kernel) {
        restart = kh_xasprintf("kernels/%s/restart", kh_http_text(kernel, "id"));
        return post(s, restart, NULL, ret_kernel, err);
    }
    body = json_object();
    if (kh_http_set_text(body, "language", "language", language, err) < 0)
        return -EINVAL;
    if (post(s, "kernels", body, ret_kernel, err) < 0)
        return kh_fail_in(err, "cannot start a kernel for '%s'", language);
    return 0;
}

int
kh_session_prepare(struct kh_session *s, struct kh_error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *sandbox = NULL, *started = NULL, *kernel = NULL;
    int r = kh_http_path(s->sandbox, NULL, &path, err);

    if (r == 0)
        r = kh_http_call(s->http, s->create ? "PUT" : "GET", path, s->create, &sandbox,
                         err);
    if (r >= 0 && !strcmp(kh_http_text(sandbox, "state"), "stopped"))
        r = post(s, "start", NULL, &started, err);
    if (r >= 0)
        r = get_kernel(s, json_object_get(started ? started : sandbox, "kernels"),
                       s->language, &kernel, err);
    if (r < 0)
        return r;
    if (!*kh_http_text(kernel, "id"))
        return kh_fail(err, EBADMSG, "the host's answer names no kernel");
    s->kernel = kh_xstrdup(kh_http_text(kernel, "id"));
    return 0;
}

int
kh_session_open(const struct kh_cli *cli, const char *sandbox, const char *language,
                json_t *create, struct kh_session **ret_session, struct kh_error *err)
{
    AUTO(kh_session) struct kh_session *s = kh_xcalloc(1, sizeof(*s));
    sigset_t mask;

    s->cli = cli;
    s->sigfd = -1;
    s->http = kh_http_new(cli->state);
    s->sandbox = kh_xstrdup(sandbox);
    s->language = kh_xstrdup(language);
    s->create = create;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
    s->sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->sigfd < 0)
        return kh_fail_errno(err, "cannot watch for signals");
    *ret_session = STEAL_PTR(s);
    return 0;
}

void
kh_session_free(struct kh_session *s)
{
    if (!s)
        return;
    if (s->sigfd >= 0)
        sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
    kh_fd_close(&s->sigfd);
    kh_http_free(s->http);
    free(s->sandbox);
    free(s->language);
    free(s->kernel);
    free(s);
}

/* Over a connection of its own: the stream holds the session's. */
static int
interrupt(struct kh_session *s, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *side = kh_http_new(s->cli->state);
    AUTO_FREE char *rest =
        kh_xasprintf("kernels/%s/interrupt", s->kernel ? s->kernel : "");
    AUTO_FREE char *path = NULL;
    int r = s->kernel ? kh_http_path(s->sandbox, rest, &path, err)
                      : kh_fail(err, EBADMSG, "the host's answer names no kernel");

    kh_http_set_timeout(side, INTERRUPT_MS);
    if (r == 0)
        r = kh_http_call(side, "POST", path, NULL, NULL, err);
    return r < 0 ? r : 0;
}

static int
on_signal(int fd, void *arg, struct kh_error *err)
{
    struct cell *cell = arg;
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) != sizeof(info))
        return 0;
    if (cell->end.interrupted || info.ssi_signo != SIGINT) {
        cell->end.status = KH_CELL_LEFT;
        cell->end.signal = (int)info.ssi_signo;
        return 1;
    }
    /* Before our turn, an interrupt would hit the code of somebody else. */
    if (!cell->begun) {
        cell->end.status = KH_CELL_LEFT;
        cell->end.signal = (int)info.ssi_signo;
        fputs("kernelhost: left before the code's turn came; it still runs when the "
              "kernel is free\n",
              stderr);
        return 1;
    }
    cell->end.interrupted = true;
    return interrupt(cell->session, err);
}

static int
on_notice(int fd, void *arg, struct kh_error *err)
{
    struct cell *cell = arg;
    uint64_t times;

    (void)err;
    if (read(fd, &times, sizeof(times)) == sizeof(times) && !cell->begun &&
        !cell->told) {
        cell->told = true;
        fputs("kernelhost: waiting for the kernel, which starts or runs other code\n",
              stderr);
    }
    return 0;
}

static void
take_reply(struct cell *cell, json_t *content)
{
    static const struct {
        const char *text;
        enum kh_cell_status status;
    } map[] = {{"ok", KH_CELL_OK}, {"aborted", KH_CELL_ABORTED}};
    const char *status = kh_http_text(content, "status");
    size_t i;

    cell->end.status = KH_CELL_ERROR;
    for (i = 0; i < KH_COUNT(map); i++)
        if (!strcmp(status, map[i].text))
            cell->end.status = map[i].status;
    if (json_is_integer(json_object_get(content, "execution_count")))
        cell->end.execution_count =
            json_integer_value(json_object_get(content, "execution_count"));
    json_decref(cell->end.reply);
    cell->end.reply = json_incref(content);
    cell->replied = true;
}

/* All later cells, and an interrupt, are for the kernel that this one went to. */
static void
note_kernel(struct kh_session *s)
{
    const char *id = kh_http_header(s->http, "Kernel-Id");

    if (!s->kernel && *id && strspn(id, "0123456789abcdef-") == strlen(id))
        s->kernel = kh_xstrdup(id);
}

static void
note_place(struct cell *cell, const json_t *line, const char *type,
           const json_t *content)
{
    const char *cursor = kh_http_text(line, "cursor");

    if (*cursor && strlen(cursor) < sizeof(cell->cursor))
        memcpy(cell->cursor, cursor, strlen(cursor) + 1);
    cell->idle = !strcmp(type, "status") &&
                 !strcmp(kh_http_text(content, "execution_state"), "idle");
}

static int
on_line(json_t *line, const char *text, size_t size, void *arg, struct kh_error *err)
{
    struct cell *cell = arg;
    json_t *content = json_object_get(line, "content");
    const char *type = kh_http_text(json_object_get(line, "header"), "msg_type");

    if (!json_is_object(content) && *kh_http_text(line, "message"))
        return kh_fail(err, EIO, "%s", kh_http_text(line, "message"));
    if (!json_is_object(content) || !*type)
        return kh_fail(err, EBADMSG, "the host sent a line that is no Jupyter message");
    note_kernel(cell->session);
    note_place(cell, line, type, content);
    cell->begun = true; /* the first line says that the kernel is busy with it */
    if (!strcmp(type, "execute_reply"))
        take_reply(cell, content);
    cell->message(line, text, size, cell->arg);
    return 0;
}

static int
make_body(const struct cell *cell, json_t *code, bool stop_on_error, json_t **ret_body,
          struct kh_error *err)
{
    const struct kh_session *s = cell->session;
    json_t *body =
        json_pack("{s:O, s:b, s:s, s:s}", "code", code, "stop_on_error", stop_on_error,
                  "request", cell->request, "cursor", cell->cursor);

    *ret_body = body;
    if (s->kernel)
        return json_object_set_new(body, "kernel", json_string(s->kernel));
    if (s->create)
        json_object_set(body, "create", s->create);
    return kh_http_set_text(body, "language", "language", s->language, err);
}

static int
stream_once(struct cell *cell, const char *path, json_t *code, bool stop_on_error,
            const struct kh_http_watch *watches, unsigned count, struct kh_error *err)
{
    AUTO_JSON json_t *body = NULL;
    int r = make_body(cell, code, stop_on_error, &body, err);

    return r < 0 ? r
                 : kh_http_stream(cell->session->http, path, body, watches, count,
                                  on_line, cell, err);
}

/* Between two tries. Returns what a watch returned. */
static int
pause_for_host(struct cell *cell, const struct kh_http_watch *watches, unsigned tries,
               struct kh_error *err)
{
    struct pollfd signals = {.fd = watches[0].fd, .events = POLLIN};

    if (tries * RETRY_MS > NOTICE_S * 1000 && !cell->waits) {
        cell->waits = true;
        fputs("kernelhost: the host went away; the code goes on, and what it prints "
              "follows when the host is back\n",
              stderr);
    }
    return poll(&signals, 1, RETRY_MS) == 1 ? watches[0].ready(signals.fd, cell, err)
                                            : 0;
}

/* A host that goes away and comes back within RETRIES gives the rest. */
static int
stream(struct cell *cell, const char *path, json_t *code, bool stop_on_error,
       const struct kh_http_watch *watches, unsigned count, struct kh_error *err)
{
    unsigned tries = 0;
    int r, left = 0;

    for (;;) {
        r = stream_once(cell, path, code, stop_on_error, watches, count, err);
        if (cell->idle && cell->replied && r == -ECONNRESET)
            return 0;
        if (r == -ECONNRESET)
            cell->broken = true;
        if (!cell->broken || (r != -ECONNRESET && r != -EHOSTDOWN) ||
            tries++ == RETRIES)
            return r;
        left = pause_for_host(cell, watches, tries, err);
        if (left)
            return left;
    }
}

static void
name_request(struct cell *cell)
{
    unsigned char bytes[16];
    size_t i;

    kh_random(bytes, sizeof(bytes));
    for (i = 0; i < sizeof(bytes); i++)
        snprintf(cell->request + 2 * i, 3, "%02x", bytes[i]);
}

/* The first kernel may be dead for good (a conflict): then another one is looked for,
 * or this one is started again. */
int
kh_session_execute(struct kh_session *s, const char *code, size_t size,
                   bool stop_on_error, kh_message_fn *message, void *arg,
                   struct kh_cell_end *ret_end, struct kh_error *err)
{
    struct cell cell = {
        .session = s, .message = message, .arg = arg, .end.execution_count = -1};
    static const struct itimerspec notice = {.it_value.tv_sec = NOTICE_S};
    AUTO_FD int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct kh_http_watch watches[] = {{s->sigfd, on_signal}, {timer, on_notice}};
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *text = json_stringn(code, size);
    int r;

    name_request(&cell);
    if (!text)
        return kh_fail(err, EINVAL, "the code is not UTF-8 text");
    if (timer < 0 || timerfd_settime(timer, 0, &notice, NULL) < 0)
        return kh_fail_errno(err, "cannot set a timer");
    r = kh_http_path(s->sandbox, "run", &path, err);
    if (r == 0)
        r = stream(&cell, path, text, stop_on_error, watches, KH_COUNT(watches), err);
    if (r == -EEXIST && !s->kernel && kh_session_prepare(s, NULL) == 0)
        r = stream(&cell, path, text, stop_on_error, watches, KH_COUNT(watches), err);
    if (r == 0 && !cell.replied)
        r = kh_fail(err, ECONNRESET, "the host ended the run before its reply came");
    if (r < 0)
        json_decref(cell.end.reply);
    else
        *ret_end = cell.end;
    return r < 0 ? r : 0;
}
