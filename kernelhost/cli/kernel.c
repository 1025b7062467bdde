/* kernel: the process that a KernelManager starts and watches as its kernel.
 *
 * It holds the stream of POST /v1/launch: the sandbox lives as long as we do,
 * and we as long as the kernel. The connection file belongs to the
 * KernelManager and is left alone. SIGINT is ignored (interrupt_mode message:
 * the request comes over the control channel, and jupyter_client signals the
 * whole group all the same).
 */
#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/limits.h"
#include "kernelhost/cli/links.h"
#include "kernelhost/cli/notebook.h"
#include "kernelhost/cli/size.h"
#include "protocol/jupyter/jsontree.h"

#define FILE_MAX_BYTES 65536
#define REMOVE_MS      20000
#define RETRY_MS       50
#define RETRIES        1200 /* a minute without a host */

const struct kh_option kh_options_kernel[] = {
    {"connection-file", 'f', "FILE", "the connection file"},
    KH_LIMIT_OPTIONS,
    {0},
};

enum watched {
    WATCH_SIGNALS,
    WATCH_PARENT,  /* the process that started us */
    WATCH_MANAGER, /* JPY_PARENT_PID: the KernelManager behind it */
    WATCHES,
};

struct launch {
    const struct kh_cli *cli;
    const json_t *connection;
    struct kh_links links;
    char *sandbox;    /* once it is ready */
    bool ready;       /* the host has said so in this stream */
    int status;       /* our exit status; -1 while the kernel lives */
    bool asked_to_go; /* a signal, or nobody is left to serve */
};

/* Paths of ipc sockets may be relative ("kernel-ipc" is jupyter_client's default);
 * then they are to the directory in which we were started. */
static int
make_absolute(json_t *connection, struct kh_error *err)
{
    const char *ip = kh_http_text(connection, "ip");
    AUTO_FREE char *here = NULL;
    AUTO_FREE char *whole = NULL;

    if (strcmp(kh_http_text(connection, "transport"), "ipc") || !*ip || *ip == '/')
        return 0;
    here = getcwd(NULL, 0);
    if (!here)
        return kh_fail_errno(err, "cannot tell the current directory");
    whole = kh_xasprintf("%s/%s", here, ip);
    return kh_http_set_text(connection, "ip", "path", whole, err);
}

static int
read_connection(const char *path, json_t *body, struct kh_error *err)
{
    AUTO_FREE char *data = NULL;
    json_error_t why;
    json_t *connection;
    size_t size;
    int r = kh_notebook_read_file(path, &data, &size, err);

    if (r < 0)
        return r;
    if (size > FILE_MAX_BYTES)
        return kh_fail(err, EFBIG, "connection file '%s' is too large", path);
    connection = json_loadb(data, size, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(connection)) {
        json_decref(connection);
        return kh_fail(err, EINVAL, "'%s' is no connection file: %s", path,
                       connection ? "no JSON object" : why.text);
    }
    json_object_set_new(body, "connection", connection);
    return make_absolute(connection, err);
}

/* Becomes readable when the process ends. A process that is gone already is
 * reported by -ESRCH. */
static int
open_pid(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0u);

    return fd < 0 ? -errno : fd;
}

static int
on_signal(int fd, void *arg, struct kh_error *err)
{
    struct launch *launch = arg;
    struct signalfd_siginfo info;

    (void)err;
    if (read(fd, &info, sizeof(info)) != sizeof(info) || info.ssi_signo == SIGINT)
        return 0;
    launch->asked_to_go = true;
    return 1;
}

static int
on_parent_gone(int fd, void *arg, struct kh_error *err)
{
    struct launch *launch = arg;

    (void)fd;
    (void)err;
    launch->asked_to_go = true;
    return 1;
}

/* jupyter_client sets JPY_PARENT_PID unless the kernel is to outlive it, so
 * without it (nohup, a shell) nobody's end is ours. */
static int
watch_parents(struct kh_http_watch *watches, struct kh_error *err)
{
    const char *text = getenv("JPY_PARENT_PID");
    pid_t parent = getppid();
    uint64_t manager;

    if (!text || !*text)
        return 0;
    if (kh_count_parse("JPY_PARENT_PID", text, 1, INT32_MAX, &manager, err) < 0)
        return -EINVAL;
    watches[WATCH_PARENT].fd = open_pid(parent);
    if (manager != (uint64_t)parent)
        watches[WATCH_MANAGER].fd = open_pid((pid_t)manager);
    if (watches[WATCH_PARENT].fd == -ESRCH || watches[WATCH_MANAGER].fd == -ESRCH ||
        getppid() != parent)
        return kh_fail(err, EIO,
                       "the Jupyter program that started this kernel is gone");
    return 0;
}

static int
watch_signals(struct kh_http_watch *watches, struct kh_error *err)
{
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    watches[WATCH_SIGNALS].fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (watches[WATCH_SIGNALS].fd < 0)
        return kh_fail_errno(err, "cannot watch for signals");
    return 0;
}

static void
on_exit_line(struct launch *launch, const json_t *line)
{
    const char *reason = kh_http_text(line, "reason");
    int status = (int)json_integer_value(json_object_get(line, "status"));

    if (!strcmp(reason, "shutdown") || !strcmp(reason, "restart")) {
        launch->status = KH_EXIT_OK;
        return;
    }
    /* Not 0 whatever the kernel's own status: the manager must see a death. */
    launch->status = status > 0 && status < 256 ? status : KH_EXIT_FAILURE;
}

static int
on_line(json_t *line, const char *text, size_t size, void *arg, struct kh_error *err)
{
    struct launch *launch = arg;
    const char *type = kh_http_text(line, "type");

    (void)text;
    (void)size;
    launch->ready = launch->ready || !strcmp(type, "ready");
    if (!strcmp(type, "ready") && !launch->sandbox) {
        launch->sandbox = kh_xstrdup(kh_http_text(line, "sandbox"));
        if (*kh_http_text(line, "ip"))
            return kh_links_make(&launch->links, launch->connection,
                                 kh_http_text(line, "ip"), launch->cli->state, err);
    } else if (!strcmp(type, "exit")) {
        on_exit_line(launch, line);
        if (*kh_http_text(line, "message"))
            kh_fail(err, EIO, "%s", kh_http_text(line, "message"));
        else if (launch->status)
            kh_fail(err, EIO, "the kernel died (status %d)", launch->status);
        if (launch->status)
            kh_cli_complain(err);
        return 1;
    } else if (!strcmp(type, "error")) {
        return kh_fail(err, EIO, "%s", kh_http_text(line, "message"));
    }
    return 0;
}

static int
pause_for_host(struct launch *launch, const struct kh_http_watch *watches,
               struct kh_error *err)
{
    struct pollfd polls[WATCHES];
    int i, r = 0;

    for (i = 0; i < WATCHES; i++)
        polls[i] = (struct pollfd){.fd = watches[i].fd, .events = POLLIN};
    poll(polls, WATCHES, RETRY_MS);
    for (i = 0; i < WATCHES && !r; i++)
        if (polls[i].revents & POLLIN)
            r = watches[i].ready(polls[i].fd, launch, err);
    return r;
}

/* The host keeps a sandbox for 10 s after its launcher went, in case of a
 * restart; who ends us by a signal wants it gone now. */
static int
leave(struct kh_cli *cli, const struct launch *launch, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_FREE char *path = NULL;
    int r;

    if (!launch->sandbox)
        return KH_EXIT_OK; /* the host ends what it was making for us */
    kh_http_set_timeout(http, REMOVE_MS);
    r = kh_http_path(launch->sandbox, NULL, &path, err);
    if (r == 0)
        r = kh_http_call(http, "DELETE", path, NULL, NULL, err);
    return r < 0 && r != -ENOENT ? r : KH_EXIT_OK;
}

/* The host goes away and comes back: the kernel is what it was, and so are its
 * endpoints. Returns what kh_http_stream does. */
static int
follow(struct launch *launch, json_t *body, const struct kh_http_watch *watches,
       struct kh_error *err)
{
    unsigned tries = 0;
    int r;

    for (;;) {
        AUTO(kh_http) struct kh_http *http = kh_http_new(launch->cli->state);

        launch->ready = false;
        r = kh_http_stream(http, "/v1/launch", body, watches, WATCHES, on_line, launch,
                           err);
        if (launch->ready)
            tries = 0;
        if ((r != -ECONNRESET && r != -EHOSTDOWN) || !launch->sandbox ||
            tries++ == RETRIES)
            return r;
        json_object_set_new(body, "resume", json_true());
        r = pause_for_host(launch, watches, err);
        if (r)
            return r;
    }
}

static int
hold(struct kh_cli *cli, json_t *body, const struct kh_http_watch *watches,
     struct kh_error *err)
{
    struct launch launch = {
        .cli = cli, .connection = json_object_get(body, "connection"), .status = -1};
    int r = follow(&launch, body, watches, err);

    if (launch.asked_to_go)
        r = leave(cli, &launch, err);
    else if (r >= 0 && launch.status >= 0)
        r = launch.status;
    else if (r >= 0)
        r = kh_fail(err, ECONNRESET, "the host ended the kernel without a word");
    kh_links_remove(&launch.links);
    free(launch.sandbox);
    return r;
}

int
kh_cmd_kernel(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    const char *path = kh_args_get(args, "connection-file");
    struct kh_http_watch watches[WATCHES] = {
        {-1, on_signal}, {-1, on_parent_gone}, {-1, on_parent_gone}};
    AUTO_JSON json_t *body = json_object();
    int r, i;

    if (!path)
        return kh_fail(err, EINVAL,
                       "option '--connection-file' is missing "
                       "(hint: kernelhost kernel -f FILE)");
    r = kh_limits_read(args, body, err);
    if (r == 0)
        r = read_connection(path, body, err);
    if (r == 0)
        r = watch_signals(watches, err);
    if (r == 0)
        r = watch_parents(watches, err);
    if (r == 0)
        r = hold(cli, body, watches, err);
    for (i = 0; i < WATCHES; i++)
        kh_fd_close(&watches[i].fd);
    return r;
}
