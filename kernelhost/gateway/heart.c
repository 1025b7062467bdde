#include "kernelhost/gateway/heart.h"

#include <czmq.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"

#define PING_MAX  1024 /* bytes of one frame; jupyter_client sends "ping" */
#define LINGER_MS 0
#define BUDGET    32 /* pings of one kernel before the others' turn */

enum verb { VERB_BIND = 1, VERB_STOP = 2 };

/* Command and answer are this struct as bytes, within one process. */
struct command {
    enum verb verb;
    uint64_t key;
    char endpoint[KH_PLACE_SIZE];
    int code; /* 0 or errno */
};

struct kh_heart {
    zactor_t *actor;
    int epoll; /* the thread's */
};

/* The thread's own things. */
struct beat {
    zsock_t *rep;
    uint64_t key;
    struct beat *next;
};

struct ward {
    zsock_t *pipe;
    struct beat *beats;
    uint64_t last_key;
    int epoll;
    bool over;
};

/* Sends one request's frames straight back. */
static void
echo(zsock_t *sock)
{
    void *rep = zsock_resolve(sock);
    int more = 1;

    while (more) {
        zmq_msg_t part;

        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, rep, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            return;
        }
        more = zmq_msg_more(&part);
        if (zmq_msg_send(&part, rep, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
            zmq_msg_close(&part);
    }
}

static int
epoll_op(struct ward *ward, int op, zsock_t *sock, struct beat *beat)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = beat};

    return epoll_ctl(ward->epoll, op, zsock_fd(sock), &event);
}

static struct beat **
find(struct ward *ward, uint64_t key)
{
    struct beat **at = &ward->beats;

    while (*at && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

static void
end_beat(struct ward *ward, struct beat **at)
{
    struct beat *beat = *at;

    epoll_op(ward, EPOLL_CTL_DEL, beat->rep, beat);
    *at = beat->next;
    zsock_destroy(&beat->rep);
    free(beat);
}

static struct beat *
new_beat(struct ward *ward)
{
    struct beat *beat;
    zsock_t *rep = zsock_new(ZMQ_REP);

    if (!rep)
        return NULL;
    zsock_set_linger(rep, LINGER_MS);
    zsock_set_maxmsgsize(rep, PING_MAX);
    beat = kh_xcalloc(1, sizeof(*beat));
    beat->rep = rep;
    beat->key = ++ward->last_key;
    beat->next = ward->beats;
    ward->beats = beat;
    if (epoll_op(ward, EPOLL_CTL_ADD, rep, beat) < 0) {
        end_beat(ward, &ward->beats);
        return NULL;
    }
    return beat;
}

static void
do_bind(struct ward *ward, struct command *command)
{
    bool fresh = command->key == 0;
    struct beat *beat = fresh ? new_beat(ward) : *find(ward, command->key);
    size_t size = sizeof(command->endpoint);
    void *rep;

    command->code = 0;
    if (!beat) {
        command->code = fresh ? EMFILE : ENOENT;
        return;
    }
    rep = zsock_resolve(beat->rep);
    if (zmq_bind(rep, command->endpoint) < 0) {
        command->code = errno;
        if (fresh)
            end_beat(ward, find(ward, beat->key));
        return;
    }
    zmq_getsockopt(rep, ZMQ_LAST_ENDPOINT, command->endpoint, &size);
    command->key = beat->key;
}

static void
do_stop(struct ward *ward, struct command *command)
{
    struct beat **at = find(ward, command->key);

    command->code = 0;
    if (*at)
        end_beat(ward, at);
}

/* One command of the loop, or czmq's own "$TERM". */
static void
on_command(struct ward *ward)
{
    zframe_t *frame = zframe_recv(ward->pipe);
    struct command command;

    if (!frame || zframe_size(frame) != sizeof(command)) {
        ward->over = true;
        zframe_destroy(&frame);
        return;
    }
    memcpy(&command, zframe_data(frame), sizeof(command));
    zframe_destroy(&frame);
    if (command.verb == VERB_BIND)
        do_bind(ward, &command);
    else
        do_stop(ward, &command);
    frame = zframe_new(&command, sizeof(command));
    zframe_send(&frame, ward->pipe, 0);
}

/* ZMQ_FD tells of a change only once: take what is there, and tell whether
 * more may be. */
static bool
serve(struct beat *beat)
{
    int i;

    for (i = 0; i < BUDGET; i++) {
        if (!(zsock_events(beat->rep) & ZMQ_POLLIN))
            return false;
        echo(beat->rep);
    }
    return true;
}

static bool
serve_reported(const struct epoll_event *events, int count)
{
    bool more = false;
    int i;

    for (i = 0; i < count; i++)
        if (events[i].data.ptr && serve(events[i].data.ptr))
            more = true;
    return more;
}

static bool
serve_all(struct ward *ward)
{
    struct beat *beat;
    bool more = false;

    for (beat = ward->beats; beat; beat = beat->next)
        if (serve(beat))
            more = true;
    return more;
}

static void
run(zsock_t *pipe, void *arg)
{
    struct ward ward = {.pipe = pipe, .epoll = *(int *)arg};
    struct epoll_event events[32];
    bool more = false;
    int n;

    if (epoll_op(&ward, EPOLL_CTL_ADD, pipe, NULL) < 0)
        abort(); /* nothing but ENOMEM is left */
    zsock_signal(pipe, 0);
    while (!ward.over) {
        /* A socket tells of a change only after it was found empty once: so all
         * are looked at before the first wait that includes them. */
        while (!ward.over && (zsock_events(pipe) & ZMQ_POLLIN)) {
            on_command(&ward);
            more = true;
        }
        n = epoll_wait(ward.epoll, events, KH_COUNT(events), more ? 0 : -1);
        more = more ? serve_all(&ward) : serve_reported(events, n);
    }
    while (ward.beats)
        end_beat(&ward, &ward.beats);
}

struct kh_heart *
kh_heart_new(struct kh_error *err)
{
    struct kh_heart *heart = kh_xcalloc(1, sizeof(*heart));

    heart->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (heart->epoll >= 0)
        heart->actor = zactor_new(run, &heart->epoll);
    if (!heart->actor) {
        kh_fail_errno(err, "cannot start the heartbeat thread");
        kh_fd_close(&heart->epoll);
        free(heart);
        return NULL;
    }
    return heart;
}

void
kh_heart_free(struct kh_heart *heart)
{
    if (!heart)
        return;
    zactor_destroy(&heart->actor);
    kh_fd_close(&heart->epoll);
    free(heart);
}

/* Sends a command and puts the answer in its place. */
static void
ask(struct kh_heart *heart, struct command *command)
{
    zframe_t *frame = zframe_new(command, sizeof(*command));

    zframe_send(&frame, heart->actor, 0);
    frame = zframe_recv(heart->actor);
    if (frame && zframe_size(frame) == sizeof(*command))
        memcpy(command, zframe_data(frame), sizeof(*command));
    else
        command->code = EPIPE;
    zframe_destroy(&frame);
}

int
kh_heart_bind(struct kh_heart *heart, uint64_t key, const char *endpoint,
              uint64_t *ret_key, char ret_endpoint[KH_PLACE_SIZE], struct kh_error *err)
{
    struct command command = {.verb = VERB_BIND, .key = key};

    if (strlen(endpoint) >= sizeof(command.endpoint))
        return kh_fail(err, ENAMETOOLONG, "endpoint '%s' is too long", endpoint);
    snprintf(command.endpoint, sizeof(command.endpoint), "%s", endpoint);
    ask(heart, &command);
    if (command.code)
        return kh_fail(err, command.code, "cannot bind heartbeat to '%s': %s", endpoint,
                       zmq_strerror(command.code));
    *ret_key = command.key;
    memcpy(ret_endpoint, command.endpoint, KH_PLACE_SIZE);
    return 0;
}

void
kh_heart_stop(struct kh_heart *heart, uint64_t key)
{
    struct command command = {.verb = VERB_STOP, .key = key};

    if (key)
        ask(heart, &command);
}
