#include "kernelhost/gateway/heart.h"

#include <czmq.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"

#define PING_MAX 1024 /* bytes of one frame; jupyter_client sends "ping" */

static const struct kh_plug_kind kind = {ZMQ_REP, PING_MAX, PING_MAX, 0};

enum verb { VERB_BIND = 1, VERB_STOP = 2 };

/* Command and answer are this struct as bytes, within one process. */
struct command {
    enum verb verb;
    uint64_t key;
    bool v6;
    char place[KH_PLACE_SIZE];
    struct kh_error error; /* code 0: it is done */
};

struct kh_heart {
    zactor_t *actor;
};

/* The thread's own things. */
struct ward {
    zsock_t *pipe;
    struct kh_loop *loop;
    struct beat *beats;
    uint64_t last_key;
};

struct beat {
    struct kh_plug *plug;
    uint64_t key;
    struct beat *next;
};

/* The ping goes straight back. */
static bool
on_ping(struct kh_plug *plug, void *arg, int fd, const struct kh_slice *frames,
        size_t count)
{
    (void)arg;
    (void)fd;
    kh_plug_send(plug, frames, count < KH_WIRE_FRAMES_MAX ? count : KH_WIRE_FRAMES_MAX,
                 0, NULL);
    return false;
}

static void
on_moved(void *arg)
{
    (void)arg;
}

static void
on_cut(void *arg, const char *why)
{
    (void)arg;
    (void)why;
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
end_beat(struct beat **at)
{
    struct beat *beat = *at;

    *at = beat->next;
    kh_plug_free(beat->plug);
    free(beat);
}

static struct beat *
new_beat(struct ward *ward, struct kh_error *err)
{
    const struct kh_plug_events events = {
        .message = on_ping, .joined = on_moved, .moved = on_moved, .cut = on_cut};
    struct kh_plug *plug = kh_plug_new(ward->loop, &kind, &events, err);
    struct beat *beat;

    if (!plug)
        return NULL;
    beat = kh_xcalloc(1, sizeof(*beat));
    beat->plug = plug;
    beat->key = ++ward->last_key;
    beat->next = ward->beats;
    ward->beats = beat;
    return beat;
}

static void
do_bind(struct ward *ward, struct command *command)
{
    bool fresh = command->key == 0;
    struct beat *beat =
        fresh ? new_beat(ward, &command->error) : *find(ward, command->key);
    char place[KH_PLACE_SIZE];

    if (!beat && !fresh)
        kh_fail(&command->error, ENOENT, "the heartbeat is gone");
    if (!beat)
        return;
    if (kh_plug_bind(beat->plug, command->place, command->v6, place, &command->error) <
        0) {
        if (fresh)
            end_beat(find(ward, beat->key));
        return;
    }
    memcpy(command->place, place, sizeof(place));
    command->key = beat->key;
}

static void
do_stop(struct ward *ward, struct command *command)
{
    struct beat **at = find(ward, command->key);

    if (*at)
        end_beat(at);
}

/* One command of the other thread, or czmq's own "$TERM". */
static void
on_command(void *arg)
{
    struct ward *ward = arg;
    zframe_t *frame = zframe_recv(ward->pipe);
    struct command command;

    if (!frame || zframe_size(frame) != sizeof(command)) {
        zframe_destroy(&frame);
        kh_loop_stop(ward->loop);
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

static void
run(zsock_t *pipe, void *arg)
{
    struct ward ward = {.pipe = pipe, .loop = kh_loop_new()};
    struct kh_error err;
    struct kh_zwatch *watch =
        kh_zwatch_new(ward.loop, zsock_resolve(pipe), on_command, &ward, &err);

    (void)arg;
    if (!watch)
        abort(); /* nothing but ENOMEM is left */
    zsock_signal(pipe, 0);
    kh_loop_run(ward.loop);
    while (ward.beats)
        end_beat(&ward.beats);
    kh_zwatch_close(watch);
    kh_loop_free(ward.loop);
}

struct kh_heart *
kh_heart_new(struct kh_error *err)
{
    struct kh_heart *heart = kh_xcalloc(1, sizeof(*heart));

    heart->actor = zactor_new(run, NULL);
    if (!heart->actor) {
        kh_fail_errno(err, "cannot start the heartbeat thread");
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
        kh_fail(&command->error, EPIPE, "the heartbeat thread is gone");
    zframe_destroy(&frame);
}

int
kh_heart_bind(struct kh_heart *heart, uint64_t key, const char *where, bool v6,
              uint64_t *ret_key, char ret_place[KH_PLACE_SIZE], struct kh_error *err)
{
    struct command command = {.verb = VERB_BIND, .key = key, .v6 = v6};

    snprintf(command.place, sizeof(command.place), "%s", where);
    ask(heart, &command);
    if (command.error.code) {
        if (err)
            *err = command.error;
        return -command.error.code;
    }
    *ret_key = command.key;
    memcpy(ret_place, command.place, KH_PLACE_SIZE);
    return 0;
}

void
kh_heart_stop(struct kh_heart *heart, uint64_t key)
{
    struct command command = {.verb = VERB_STOP, .key = key};

    if (key)
        ask(heart, &command);
}
