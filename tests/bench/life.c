/* life: measures how sandboxes come to be, over the local API's Unix socket, and
 * prints a JSON object with the samples, in microseconds.
 *
 *     life create COUNT CODE SOCKET     a new sandbox runs CODE, in one request
 *     life connect COUNT CODE SOCKET    a sandbox, then CODE through ZeroMQ
 *     life burst COUNT CODE SOCKET      create, all of them at once
 *     life restart COUNT CODE SOCKET SANDBOX KERNEL  restart, then CODE
 *
 * CODE is a JSON string. The sandboxes are called bench-PID-N and are removed again,
 * which is not in the time.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/bench/talk.h"

#define FLOWS_MAX 1000

/* One request, on a connection of its own. */
struct flow {
    const char *step[4]; /* method, path, body, text that ends it (NULL: its end) */
    int fd;
    struct kh_buf in;
    double took;
    char name[48], path[2][128];
    char *body;
};

static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void
begin(struct flow *flow)
{
    const char *const *step = flow->step;
    AUTO_FREE char *text =
        kh_xasprintf("%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     step[0], step[1], strlen(step[2]), step[2]);
    flow->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (flow->fd < 0 || connect(flow->fd, (void *)&address, sizeof(address)) < 0)
        talk_die("cannot connect to '%s': %s", address.sun_path, strerror(errno));
    if (send(flow->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
        talk_die("cannot send a request: %s", strerror(errno));
    kh_buf_consume(&flow->in, kh_buf_len(&flow->in));
}

/* Reads what there is. True when the request is answered. */
static bool
read_on(struct flow *flow)
{
    const char *end = flow->step[3];
    ssize_t size = read(flow->fd, kh_buf_reserve(&flow->in, 65536), 65535);
    if (size < 0)
        talk_die("cannot read an answer: %s", strerror(errno));
    kh_buf_wrote(&flow->in, (size_t)size);
    kh_buf_reserve(&flow->in, 1)[0] = '\0';
    const char *text = kh_buf_ptr(&flow->in);
    if (size > 0 && !(end && strstr(text, end)))
        return false;
    if (strncmp(text, "HTTP/1.1 20", 11) != 0 || (end && !strstr(text, end)))
        talk_die("%s %s: %.400s", flow->step[0], flow->step[1], text);
    close(flow->fd);
    flow->fd = -1;
    return true;
}

/* Runs the flows side by side to their ends. */
static void
run_flows(struct flow *flows, size_t count)
{
    struct pollfd polls[FLOWS_MAX];
    double begun = talk_now();
    size_t left = count;
    for (size_t i = 0; i < count; i++) {
        begin(&flows[i]);
        polls[i] = (struct pollfd){.fd = flows[i].fd, .events = POLLIN};
    }
    while (left > 0) {
        if (poll(polls, count, 120000) <= 0)
            talk_die("no answer within 120 s");
        for (size_t i = 0; i < count; i++) {
            if (polls[i].revents == 0 || !read_on(&flows[i]))
                continue;
            flows[i].took = talk_now() - begun;
            polls[i].fd = -1;
            left--;
        }
    }
}

static void
run_one(struct flow *flow, const char *method, const char *path, const char *body,
        const char *end)
{
    flow->step[0] = method;
    flow->step[1] = path;
    flow->step[2] = body;
    flow->step[3] = end;
    run_flows(flow, 1);
}

static void
set_up(struct flow *flow, size_t number, const char *code)
{
    *flow = (struct flow){.fd = -1};
    snprintf(flow->name, sizeof(flow->name), "bench-%d-%zu", getpid(), number);
    snprintf(flow->path[0], sizeof(flow->path[0]), "/v1/sandboxes/%s", flow->name);
    snprintf(flow->path[1], sizeof(flow->path[1]), "/v1/sandboxes/%s/run", flow->name);
    flow->body = kh_xasprintf("{\"code\":%s,\"create\":{}}", code);
    flow->step[0] = "POST";
    flow->step[1] = flow->path[1];
    flow->step[2] = flow->body;
    flow->step[3] = "\"execute_reply\"";
}

static void
tear_down(struct flow *flow)
{
    run_one(flow, "DELETE", flow->path[0], "", NULL);
    kh_buf_release(&flow->in);
    free(flow->body);
}

static void
create(size_t count, const char *code, double *took)
{
    struct flow flow;
    for (size_t i = 0; i < count; i++) {
        set_up(&flow, i, code);
        run_flows(&flow, 1);
        took[i] = flow.took;
        tear_down(&flow);
    }
}

static void
burst(size_t count, const char *code, double *took)
{
    struct flow *flows = kh_xcalloc(count, sizeof(*flows));
    for (size_t i = 0; i < count; i++)
        set_up(&flows[i], i, code);
    run_flows(flows, count);
    for (size_t i = 0; i < count; i++) {
        took[i] = flows[i].took;
        tear_down(&flows[i]);
    }
    free(flows);
}

/* The path in {"connection_file":"PATH",...}. */
static char *
connection_file(const struct flow *flow)
{
    static const char before[] = "\"connection_file\":\"";
    const char *at = strstr(kh_buf_ptr(&flow->in), before);
    if (!at)
        talk_die("no connection file: %s", kh_buf_ptr(&flow->in));
    at += strlen(before);
    char *path = kh_xstrdup(at);
    path[strcspn(path, "\"")] = '\0';
    return path;
}

static void
connect_first(size_t count, const char *code, double *took)
{
    struct flow flow;
    for (size_t i = 0; i < count; i++) {
        char path[160];
        set_up(&flow, i, code);
        snprintf(path, sizeof(path), "%s/connect", flow.path[0]);
        double begun = talk_now();
        run_one(&flow, "PUT", flow.path[0], "{}", NULL);
        run_one(&flow, "POST", path, "{}", NULL);
        AUTO_FREE char *file = connection_file(&flow);
        struct talk *talk = talk_new(file);
        talk_reply(talk, talk_execute(talk, code, false));
        took[i] = talk_now() - begun;
        talk_free(talk);
        tear_down(&flow);
    }
}

static void
restart(size_t count, const char *code, double *took, char **argv)
{
    struct flow flow;
    set_up(&flow, 0, code);
    AUTO_FREE char *again =
        kh_xasprintf("/v1/sandboxes/%s/kernels/%s/restart", argv[0], argv[1]);
    AUTO_FREE char *run = kh_xasprintf("/v1/sandboxes/%s/run", argv[0]);
    for (size_t i = 0; i < count; i++) {
        double begun = talk_now();
        run_one(&flow, "POST", again, "", NULL);
        run_one(&flow, "POST", run, flow.body, "\"execute_reply\"");
        took[i] = talk_now() - begun;
    }
    kh_buf_release(&flow.in);
    free(flow.body);
}

int
main(int argc, char **argv)
{
    size_t count = argc >= 5 ? strtoul(argv[2], NULL, 10) : 0;
    if (count == 0 || count > FLOWS_MAX || strlen(argv[4]) >= sizeof(address.sun_path))
        talk_die("usage: life MEASURE COUNT CODE-AS-JSON SOCKET (see the source)");
    memcpy(address.sun_path, argv[4], strlen(argv[4]));
    double *took = kh_xcalloc(count, sizeof(*took));
    if (strcmp(argv[1], "create") == 0)
        create(count, argv[3], took);
    else if (strcmp(argv[1], "burst") == 0)
        burst(count, argv[3], took);
    else if (strcmp(argv[1], "connect") == 0)
        connect_first(count, argv[3], took);
    else if (strcmp(argv[1], "restart") == 0 && argc == 7)
        restart(count, argv[3], took, argv + 5);
    else
        talk_die("there is no measure '%s'", argv[1]);
    printf("{\"us\": [");
    for (size_t i = 0; i < count; i++)
        printf("%s%.1f", i ? ", " : "", took[i]);
    printf("]}\n");
    free(took);
    return 0;
}
