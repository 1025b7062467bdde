#include "kernelhost/cli/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "protocol/jupyter/jsontree.h"
#include "protocol/link/broker.h"

#define SOCKET_NAME    "api.sock"
#define WATCHES_MAX    4
#define POLL_MS        60000
#define CONNECT_MS     10000L
#define ERROR_BODY_MAX 65536

struct kh_http {
    CURLM *multi; /* keeps the connection between requests */
    char *state;
    long timeout_ms;
    CURL *stream; /* the one that runs, or NULL */
    int rundir;   /* STATE/run, so that a long path fits sun_path; -1: not open */
};

/* One request on its way. */
struct request {
    struct kh_http *http;
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    struct kh_buf in; /* answer, or the part of it that is no whole line */
    kh_http_line_fn *line;
    void *arg;
    int result; /* of a callback, when not 0 */
    struct kh_error *err;
};

struct kh_http *
kh_http_new(const char *state)
{
    struct kh_http *http = kh_xcalloc(1, sizeof(*http));

    http->state = kh_xstrdup(state);
    http->rundir = -1;
    return http;
}

void
kh_http_free(struct kh_http *http)
{
    if (!http)
        return;
    if (http->multi)
        curl_multi_cleanup(http->multi);
    kh_fd_close(&http->rundir);
    free(http->state);
    free(http);
}

void
kh_http_set_timeout(struct kh_http *http, long milliseconds)
{
    http->timeout_ms = milliseconds;
}

const char *
kh_http_text(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text ? text : "";
}

int
kh_http_set_text(json_t *object, const char *member, const char *what, const char *text,
                 struct kh_error *err)
{
    if (json_object_set_new(object, member, json_string(text)) < 0)
        return kh_fail(err, EINVAL, "%s '%.80s' is not UTF-8 text", what, text);
    return 0;
}

int
kh_http_check_name(const char *what, const char *name, struct kh_error *err)
{
    char fixed[KH_NAME_SIZE] = {0};

    if (strlen(name) < sizeof(fixed))
        memcpy(fixed, name, strlen(name));
    return kh_name_valid(fixed)
               ? 0
               : kh_fail(err, EINVAL, "'%.80s' is no %s name (hint: %s)", name, what,
                         KH_NAME_RULE);
}

int
kh_http_path(const char *name, const char *rest, char **ret_path, struct kh_error *err)
{
    int r = kh_http_check_name("sandbox", name, err);

    if (r < 0)
        return r;
    *ret_path = rest ? kh_xasprintf("/v1/sandboxes/%s/%s", name, rest)
                     : kh_xasprintf("/v1/sandboxes/%s", name);
    return 0;
}

static int
no_host(const struct kh_http *http, struct kh_error *err)
{
    return kh_fail(err, EHOSTDOWN, "no host runs for '%s' (hint: kernelhost serve)",
                   http->state);
}

/* The socket's path as curl can take it: sun_path has 107 bytes, a state
 * directory may be deeper, so a long one is reached through its descriptor. */
static int
socket_path(struct kh_http *http, char *out, size_t size, struct kh_error *err)
{
    int n = snprintf(out, size, "%s/run/" SOCKET_NAME, http->state);

    if (n >= 0 && (size_t)n < size)
        return 0;
    if (http->rundir < 0) {
        AUTO_FREE char *dir = kh_xasprintf("%s/run", http->state);

        http->rundir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (http->rundir < 0 && errno == ENOENT)
            return no_host(http, err);
        if (http->rundir < 0)
            return kh_fail_errno(err, "cannot open '%s'", dir);
    }
    snprintf(out, size, "/proc/self/fd/%d/" SOCKET_NAME, http->rundir);
    return 0;
}

static long
status_of(struct request *r)
{
    long status = 0;

    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static int
give_line(struct request *r, const char *text, size_t size)
{
    AUTO_JSON json_t *line = NULL;

    if (size == 0)
        return 0;
    line = json_loadb(text, size, JSON_ALLOW_NUL, NULL);
    if (!line) /* an integer over 64 bits is right in JSON, not in jansson */
        line = json_loadb(text, size, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    if (!json_is_object(line))
        return kh_fail(r->err, EBADMSG, "the host sent a line that is no JSON object");
    return r->line(line, text, size, r->arg, r->err);
}

static int
give_lines(struct request *r)
{
    char *end;

    while ((end = memchr(kh_buf_ptr(&r->in), '\n', kh_buf_len(&r->in)))) {
        size_t size = (size_t)(end - kh_buf_ptr(&r->in));

        r->result = give_line(r, kh_buf_ptr(&r->in), size);
        kh_buf_consume(&r->in, size + 1);
        if (r->result)
            return r->result;
    }
    return 0;
}

static size_t
on_bytes(char *data, size_t one, size_t count, void *arg)
{
    struct request *r = arg;
    size_t size = one * count;
    bool good = status_of(r) < 300;

    if (kh_buf_len(&r->in) + size > (good ? KH_HTTP_LINE_MAX : ERROR_BODY_MAX)) {
        r->result = kh_fail(r->err, EMSGSIZE, "the host's answer is too large");
        return CURL_WRITEFUNC_ERROR;
    }
    kh_buf_add(&r->in, data, size);
    if (good && r->line && memchr(data, '\n', size) && give_lines(r))
        return CURL_WRITEFUNC_ERROR;
    return size;
}

static int
set_up(struct request *r, const char *method, const char *path, json_t *body)
{
    char unix_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    AUTO_FREE char *url = kh_xasprintf("http://kernelhost%s", path);
    int result = socket_path(r->http, unix_path, sizeof(unix_path), r->err);

    if (result < 0)
        return result;
    if (!r->http->multi)
        r->http->multi = curl_multi_init();
    r->easy = curl_easy_init();
    if (!r->easy || !r->http->multi)
        return kh_fail(r->err, ENOMEM, "cannot set up libcurl");
    curl_easy_setopt(r->easy, CURLOPT_UNIX_SOCKET_PATH, unix_path);
    curl_easy_setopt(r->easy, CURLOPT_URL, url);
    curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, "http");
    /* http_proxy in the environment must not catch what goes to the socket. */
    curl_easy_setopt(r->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, r->http->timeout_ms);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_CUSTOMREQUEST, method);
    r->headers = curl_slist_append(NULL, "Expect:");
    if (body) {
        r->body = json_dumps(body, JSON_COMPACT);
        if (!r->body)
            return kh_fail(r->err, EINVAL, "cannot write the request as JSON");
        if (strlen(r->body) > KH_HTTP_BODY_MAX)
            return kh_fail(r->err, EMSGSIZE, "the request is larger than %u MiB",
                           KH_HTTP_BODY_MAX >> 20);
        r->headers = curl_slist_append(r->headers, "Content-Type: application/json");
        curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->body);
    } else if (!strcmp(method, "POST")) {
        curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, "");
    }
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
    return 0;
}

static int
host_failed(struct request *r, CURLcode code)
{
    long os = 0;

    if (r->result < 0)
        return r->result;
    curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &os);
    if (code == CURLE_COULDNT_CONNECT && (os == ENOENT || os == ECONNREFUSED))
        return no_host(r->http, r->err);
    if (code == CURLE_COULDNT_CONNECT && os)
        return kh_fail(r->err, (int)os, "cannot reach the host at '%s/run/%s': %s",
                       r->http->state, SOCKET_NAME, strerror((int)os));
    if (code == CURLE_OPERATION_TIMEDOUT)
        return kh_fail(r->err, ETIMEDOUT, "the host does not answer");
    if (code == CURLE_RECV_ERROR || code == CURLE_PARTIAL_FILE ||
        code == CURLE_GOT_NOTHING || code == CURLE_SEND_ERROR)
        return kh_fail(r->err, ECONNRESET,
                       "the host went away (hint: see its log; kernelhost doctor)");
    return kh_fail(r->err, EIO, "cannot speak with the host: %s",
                   curl_easy_strerror(code));
}

/* The error of doc/api.md for a status that is none of 2xx. */
static int
host_refused(struct request *r)
{
    static const struct {
        int status, code;
    } map[] = {{400, EINVAL},   {404, ENOENT}, {405, ENOSYS}, {409, EEXIST},
               {413, EMSGSIZE}, {503, EAGAIN}, {507, ENOSPC}};
    AUTO_JSON json_t *answer =
        json_loadb(kh_buf_ptr(&r->in), kh_buf_len(&r->in), 0, NULL);
    const char *message = kh_http_text(answer, "message");
    long status = status_of(r);
    int code = EIO;
    size_t i;

    for (i = 0; i < KH_COUNT(map); i++)
        if (map[i].status == status)
            code = map[i].code;
    if (*message)
        return kh_fail(r->err, code, "%s", message);
    return kh_fail(r->err, code, "the host answered with status %ld", status);
}

/* Waits for the socket or a watch, and calls the watches that are ready. Returns
 * what the first callback returned that was not 0. */
static int
wait_for_more(struct request *r, const struct kh_http_watch *watches, unsigned count)
{
    const struct kh_http_watch *of[WATCHES_MAX];
    struct curl_waitfd wait[WATCHES_MAX];
    unsigned i, used = 0;

    for (i = 0; i < count && used < WATCHES_MAX; i++) {
        if (watches[i].fd < 0)
            continue;
        of[used] = &watches[i];
        wait[used++] =
            (struct curl_waitfd){.fd = watches[i].fd, .events = CURL_WAIT_POLLIN};
    }
    curl_multi_poll(r->http->multi, wait, used, POLL_MS, NULL);
    for (i = 0; i < used && !r->result; i++)
        if (wait[i].revents & CURL_WAIT_POLLIN)
            r->result = of[i]->ready(of[i]->fd, r->arg, r->err);
    return r->result;
}

/* Runs the transfer to its end, and the watches meanwhile. */
static int
transfer(struct request *r, const struct kh_http_watch *watches, unsigned count)
{
    int running = 1, left;
    CURLMsg *done;

    curl_multi_add_handle(r->http->multi, r->easy);
    for (;;) {
        curl_multi_perform(r->http->multi, &running);
        if (!running)
            break;
        if (wait_for_more(r, watches, count))
            return r->result;
    }
    done = curl_multi_info_read(r->http->multi, &left);
    if (r->result > 0)
        return r->result;
    if (!done || done->data.result != CURLE_OK)
        return host_failed(r, done ? done->data.result : CURLE_RECV_ERROR);
    if (status_of(r) < 200 || status_of(r) >= 300)
        return host_refused(r);
    return 0;
}

static void
request_release(struct request *r)
{
    if (r->easy && r->http->multi)
        curl_multi_remove_handle(r->http->multi, r->easy);
    curl_easy_cleanup(r->easy);
    curl_slist_free_all(r->headers);
    free(r->body);
    kh_buf_release(&r->in);
}

int
kh_http_call(struct kh_http *http, const char *method, const char *path, json_t *body,
             json_t **ret_answer, struct kh_error *err)
{
    struct request r = {.http = http, .err = err};
    json_t *answer = NULL;
    int result = set_up(&r, method, path, body);

    if (result == 0)
        result = transfer(&r, NULL, 0);
    if (result == 0)
        result = (int)status_of(&r);
    if (result > 0 && ret_answer) {
        answer = kh_buf_len(&r.in) ? json_loadb(kh_buf_ptr(&r.in), kh_buf_len(&r.in),
                                                JSON_ALLOW_NUL, NULL)
                                   : json_null();
        if (answer)
            *ret_answer = answer;
        else
            result = kh_fail(err, EBADMSG, "the host's answer is no JSON");
    }
    request_release(&r);
    return result;
}

int
kh_http_text_of(struct kh_http *http, const char *path, struct kh_buf *ret_text,
                struct kh_error *err)
{
    struct request r = {.http = http, .err = err};
    int result = set_up(&r, "GET", path, NULL);

    if (result == 0)
        result = transfer(&r, NULL, 0);
    if (result == 0)
        kh_buf_add(ret_text, kh_buf_ptr(&r.in), kh_buf_len(&r.in));
    request_release(&r);
    return result;
}

int
kh_http_stream(struct kh_http *http, const char *path, json_t *body,
               const struct kh_http_watch *watches, unsigned count,
               kh_http_line_fn *line, void *arg, struct kh_error *err)
{
    struct request r = {.http = http, .line = line, .arg = arg, .err = err};
    int result = set_up(&r, "POST", path, body);

    http->stream = r.easy;
    if (result == 0)
        result = transfer(&r, watches, count);
    if (result == 0 && kh_buf_len(&r.in))
        result = give_line(&r, kh_buf_ptr(&r.in), kh_buf_len(&r.in));
    http->stream = NULL;
    request_release(&r);
    return result;
}

const char *
kh_http_header(struct kh_http *http, const char *name)
{
    struct curl_header *header;

    if (!http->stream ||
        curl_easy_header(http->stream, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return "";
    return header->value;
}
