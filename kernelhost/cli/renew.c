/* restart and upgrade: kernelhostd executes itself anew beneath its sandboxes. The
 * state directory's lock tells which process it is; STATE/run/renewal how it went. */
#include "kernelhost/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "protocol/jupyter/jsontree.h"

#define OUTCOME_MAX 1024u
#define WAIT_S      60
#define PAUSE_NS    (5 * 1000 * 1000)

const struct kh_option kh_options_upgrade[] = {
    {"to", 0, "FILE", "the new kernelhostd (default: the one beside this command)",
     false},
    {0},
};

static double
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Who holds the lock is kernelhostd: nobody else can open it. */
static int
find_host(int run, const char *state, pid_t *ret_pid, struct kh_error *err)
{
    struct flock query = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    AUTO_FD int lock =
        run < 0 ? -1 : openat(run, "../lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (lock < 0 || fcntl(lock, F_GETLK, &query) < 0 || query.l_type == F_UNLCK)
        return kh_fail(err, EHOSTDOWN, "no host runs for '%s' (hint: kernelhost serve)",
                       state);
    if (query.l_pid <= 1)
        return kh_fail(err, EPERM,
                       "the host of '%s' runs in another pid namespace (hint: restart "
                       "it from there)",
                       state);
    *ret_pid = query.l_pid;
    return 0;
}

/* "ID started" of what runs now, or sleeps, as the keys of an object, with the names.
 */
static int
list_running(const char *state, json_t **ret_running, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(state);
    AUTO_JSON json_t *answer = NULL;
    AUTO_JSON json_t *running = json_object();
    json_t *box;
    size_t i;
    int r;

    kh_http_set_timeout(http, WAIT_S * 1000);
    r = kh_http_call(http, "GET", "/v1/sandboxes", NULL, &answer, err);
    if (r < 0)
        return r;
    json_array_foreach(json_object_get(answer, "sandboxes"), i, box)
    {
        AUTO_FREE char *key = kh_xasprintf("%s %s", kh_http_text(box, "id"),
                                           kh_http_text(box, "started"));

        if (strcmp(kh_http_text(box, "state"), "stopped") != 0)
            json_object_set_new(running, key, json_string(kh_http_text(box, "name")));
    }
    *ret_running = STEAL_PTR(running);
    return 0;
}

/* Looks, before anything ends, whether PROGRAM could take over; it prints why not. */
static int
check(const char *program, const char *state, struct kh_error *err)
{
    int status = -1;
    pid_t pid = fork();

    if (pid < 0)
        return kh_fail_errno(err, "cannot fork");
    if (pid == 0) {
        if (dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
            execl(program, program, "--check", "--state", state, NULL);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0 ? 0
                       : kh_fail(err, EIO,
                                 "'%s' cannot take over: nothing was changed (hint: "
                                 "what it said is above; make install)",
                                 program);
}

/* Waits for the outcome. The host's own end is one, too. */
static int
wait_for_outcome(int run, const char *state, pid_t host, char **ret_outcome,
                 struct kh_error *err)
{
    static const struct timespec pause = {0, PAUSE_NS};
    double end = seconds() + WAIT_S;
    pid_t now = 0;
    int r;

    for (;;) {
        r = kh_fd_read_file(run, "renewal", OUTCOME_MAX, ret_outcome, NULL, NULL);
        if (r != -ENOENT)
            return r < 0 ? kh_fail(err, -r, "cannot read the outcome") : 0;
        if (find_host(run, state, &now, NULL) < 0 || now != host)
            return kh_fail(err, EIO,
                           "the host has ended (hint: its log says why; kernelhost "
                           "serve finds the sandboxes again)");
        if (seconds() > end)
            return kh_fail(err, ETIMEDOUT, "the host did not answer in %d s", WAIT_S);
        nanosleep(&pause, NULL);
    }
}

static int
renew(int run, const char *state, const char *program, char **ret_version,
      struct kh_error *err)
{
    AUTO_FREE char *outcome = NULL;
    pid_t host = 0;
    int r = find_host(run, state, &host, err);

    if (r == 0 && program)
        r = kh_fd_replace_file(run, "upgrade", program, strlen(program), 0600, err);
    if (r < 0)
        return r;
    (void)unlinkat(run, "renewal", 0);
    if (kill(host, SIGUSR2) < 0)
        return kh_fail_errno(err, "cannot signal the host, process %d", (int)host);
    r = wait_for_outcome(run, state, host, &outcome, err);
    if (r < 0)
        return r;
    outcome[strcspn(outcome, "\n")] = '\0';
    if (strncmp(outcome, "ok ", 3) != 0)
        return kh_fail(err, EIO, "the host goes on as it was: %s",
                       strncmp(outcome, "failed ", 7) ? outcome : outcome + 7);
    *ret_version = kh_xstrdup(outcome + 3);
    return 0;
}

static int
report(struct kh_cli *cli, const char *done, const char *version, json_t *before,
       json_t *after, double took)
{
    AUTO_JSON json_t *ended = json_array();
    AUTO_FREE char *line = NULL;
    const char *key;
    json_t *name;
    unsigned kept = 0;
    size_t i;

    json_object_foreach(before, key, name)
    {
        if (json_object_get(after, key))
            kept++;
        else
            json_array_append(ended, name);
    }
    if (cli->json) {
        AUTO_JSON json_t *value =
            json_pack("{s:s, s:f, s:i, s:O}", "version", version, "seconds", took,
                      "running", (int)kept, "ended", ended);

        kh_print_json(value);
    } else {
        line = kh_xasprintf("%s %s in %.2f s: %u sandbox%s went on", done, version,
                            took, kept, kept == 1 ? "" : "es");
        kh_print_line(line);
    }
    json_array_foreach(ended, i, name)
    {
        struct kh_error err;

        kh_fail(&err, EIO, "sandbox '%s' has ended meanwhile", json_string_value(name));
        kh_cli_complain(&err);
    }
    return json_array_size(ended) ? KH_EXIT_FAILURE : KH_EXIT_OK;
}

/* What was read anew may be wrong; the host goes on without it. */
static void
warn(const char *state)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(state);
    AUTO_JSON json_t *health = NULL;
    struct kh_error err;

    kh_http_set_timeout(http, WAIT_S * 1000);
    if (kh_http_call(http, "GET", "/v1/health", NULL, &health, &err) < 0 ||
        !*kh_http_text(health, "problem"))
        return;
    kh_fail(&err, EINVAL, "%s", kh_http_text(health, "problem"));
    kh_cli_complain(&err);
}

static int
renew_and_report(struct kh_cli *cli, const char *program, const char *done,
                 struct kh_error *err)
{
    AUTO_FREE char *path = kh_xasprintf("%s/run", cli->state);
    AUTO_FD int run = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_JSON json_t *before = NULL;
    AUTO_JSON json_t *after = NULL;
    AUTO_FREE char *version = NULL;
    double begun;
    pid_t host;
    int r = find_host(run, cli->state, &host, err);

    if (r == 0 && program)
        r = check(program, cli->state, err);
    if (r < 0)
        return r;
    /* A gateway that does not answer is a reason to restart, not one against it. */
    if (list_running(cli->state, &before, err) < 0)
        before = json_object();
    begun = seconds();
    r = renew(run, cli->state, program, &version, err);
    if (r == 0)
        r = list_running(cli->state, &after, err);
    if (r < 0)
        return r;
    r = report(cli, done, version, before, after, seconds() - begun);
    warn(cli->state);
    return r;
}

int
kh_cmd_restart(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    (void)args;
    return renew_and_report(cli, NULL, "restarted", err);
}

int
kh_cmd_upgrade(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    const char *to = kh_args_get(args, "to");
    AUTO_FREE char *program = NULL;

    if (!to)
        to = KH_LIBEXECDIR "/kernelhostd";
    /* A link is kept as one: the next restart is of what it leads to then. */
    program = to[0] == '/' ? kh_xstrdup(to) : realpath(to, NULL);
    if (!program || access(program, X_OK) < 0)
        return kh_fail_errno(err, "cannot execute '%s'", to);
    return renew_and_report(cli, program, "upgraded to", err);
}
