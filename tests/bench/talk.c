#include "tests/bench/talk.h"

#include <czmq.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "base/clean.h"
#include "base/mem.h"
#include "protocol/jupyter/json.h"

static const struct kh_slice empty_object = {"{}", 2};

struct talk {
    struct kh_signer *signer;
    struct kh_origin origin;
    uint64_t count; /* of our last message */
    zsock_t *sock[KH_CHANNELS];
    zmq_msg_t part[TALK_FRAMES];
    size_t parts;
    struct kh_buf header, content;
    struct kh_wire wire;
};

void
talk_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

double
talk_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static zsock_t *
connect_to(const struct kh_connfile *file, enum kh_channel channel)
{
    char endpoint[KH_ENDPOINT_SIZE];
    struct kh_error err;
    if (kh_connfile_endpoint(file, channel, endpoint, &err) < 0)
        talk_die("%s", err.text);
    zsock_t *sock = zsock_new(channel == KH_CHANNEL_IOPUB ? ZMQ_SUB : ZMQ_DEALER);
    zsock_set_rcvhwm(sock, 0);
    zsock_set_sndhwm(sock, 0);
    zsock_set_linger(sock, 0);
    zsock_set_reconnect_ivl(sock, 1); /* a kernel that starts is met at once */
    if (channel == KH_CHANNEL_IOPUB)
        zsock_set_subscribe(sock, "");
    if (zsock_connect(sock, "%s", endpoint) != 0)
        talk_die("cannot connect to '%s'", endpoint);
    return sock;
}

struct talk *
talk_new(const char *connection_file)
{
    struct kh_connfile file;
    struct kh_error err;
    struct talk *talk = kh_xcalloc(1, sizeof(*talk));
    if (kh_connfile_read(AT_FDCWD, connection_file, &file, &err) < 0 ||
        kh_signer_new(file.signature_scheme, kh_slice_text(file.key), &talk->signer,
                      &err) < 0)
        talk_die("%s", err.text);
    kh_origin_init(&talk->origin, "bench");
    static const enum kh_channel used[] = {KH_CHANNEL_SHELL, KH_CHANNEL_IOPUB,
                                           KH_CHANNEL_CONTROL};
    for (size_t i = 0; i < KH_COUNT(used); i++)
        talk->sock[used[i]] = connect_to(&file, used[i]);
    return talk;
}

static void
drop_parts(struct talk *talk)
{
    while (talk->parts > 0)
        zmq_msg_close(&talk->part[--talk->parts]);
}

void
talk_free(struct talk *talk)
{
    if (!talk)
        return;
    drop_parts(talk);
    for (size_t i = 0; i < KH_CHANNELS; i++)
        zsock_destroy(&talk->sock[i]);
    kh_signer_free(talk->signer);
    kh_buf_release(&talk->header);
    kh_buf_release(&talk->content);
    free(talk);
}

void *
talk_socket(struct talk *talk, enum kh_channel channel)
{
    return zsock_resolve(talk->sock[channel]);
}

static uint64_t
send_request(struct talk *talk, enum kh_channel channel, const char *type,
             struct kh_slice content)
{
    struct kh_wire_out out;
    struct kh_error err;
    kh_buf_consume(&talk->header, kh_buf_len(&talk->header));
    kh_origin_header(&talk->origin, type, ++talk->count, &talk->header);
    talk->wire = (struct kh_wire){
        .header = {kh_buf_ptr(&talk->header), kh_buf_len(&talk->header)},
        .content = content,
    };
    if (kh_wire_compose(&talk->wire, talk->signer, &out, &err) < 0)
        talk_die("%s", err.text);
    for (size_t i = 0; i < out.count; i++)
        if (zmq_send(talk_socket(talk, channel), out.frame[i].data, out.frame[i].size,
                     i + 1 < out.count ? ZMQ_SNDMORE : 0) < 0)
            talk_die("cannot send: %s", zmq_strerror(errno));
    return talk->count;
}

uint64_t
talk_execute(struct talk *talk, const char *code, bool silent)
{
    struct kh_slice text = kh_slice_text(code);
    kh_buf_consume(&talk->content, kh_buf_len(&talk->content));
    kh_json_addf(&talk->content,
                 "{\"code\":%J,\"silent\":%b,\"store_history\":%b,"
                 "\"user_expressions\":{},\"allow_stdin\":false,"
                 "\"stop_on_error\":true}",
                 &text, silent, !silent);
    return send_request(
        talk, KH_CHANNEL_SHELL, "execute_request",
        (struct kh_slice){kh_buf_ptr(&talk->content), kh_buf_len(&talk->content)});
}

void
talk_interrupt(struct talk *talk)
{
    send_request(talk, KH_CHANNEL_CONTROL, "interrupt_request", empty_object);
}

/* Our msg_id is SESSION_COUNT. */
static uint64_t
parent_number(const struct talk *talk, struct kh_slice parent)
{
    static const char *const names[] = {"msg_id"};
    struct kh_json_value value;
    char id[300];
    size_t size = strlen(talk->origin.session);
    if (kh_json_find(parent, names, 1, &value, NULL) < 0 || value.type == 0 ||
        kh_json_text(value, id, sizeof(id)) < 0 ||
        strncmp(id, talk->origin.session, size) != 0 || id[size] != '_')
        return 0;
    return strtoull(id + size + 1, NULL, 10);
}

static bool
says_idle(struct kh_slice content)
{
    static const char *const names[] = {"execution_state"};
    struct kh_json_value value;
    char state[32];
    return kh_json_find(content, names, 1, &value, NULL) == 0 && value.type != 0 &&
           kh_json_text(value, state, sizeof(state)) > 0 && strcmp(state, "idle") == 0;
}

bool
talk_receive(struct talk *talk, enum kh_channel channel, int timeout,
             struct talk_message *ret_message)
{
    void *sock = talk_socket(talk, channel);
    struct kh_slice frames[TALK_FRAMES];
    struct kh_error err;
    drop_parts(talk);
    for (;;) {
        zmq_msg_t *part = &talk->part[talk->parts];
        if (talk->parts == TALK_FRAMES)
            talk_die("a message of more than %d frames", TALK_FRAMES);
        zmq_msg_init(part);
        while (zmq_msg_recv(part, sock, ZMQ_DONTWAIT) < 0) {
            zmq_pollitem_t item = {.socket = sock, .events = ZMQ_POLLIN};
            if (errno != EAGAIN && errno != EINTR)
                talk_die("cannot receive: %s", zmq_strerror(errno));
            if (timeout == 0 || zmq_poll(&item, 1, timeout) == 0) {
                zmq_msg_close(part);
                return false;
            }
        }
        frames[talk->parts++] =
            (struct kh_slice){zmq_msg_data(part), zmq_msg_size(part)};
        if (!zmq_msg_more(part))
            break;
    }
    if (kh_wire_parse(frames, talk->parts, talk->signer, NULL, &talk->wire, &err) !=
        KH_WIRE_OK)
        talk_die("%s", err.text);
    snprintf(ret_message->type, sizeof(ret_message->type), "%s",
             talk->wire.head.msg_type);
    ret_message->parent = parent_number(talk, talk->wire.parent_header);
    ret_message->content = talk->wire.content;
    ret_message->idle =
        strcmp(ret_message->type, "status") == 0 && says_idle(talk->wire.content);
    return true;
}

void
talk_wait_ready(struct talk *talk)
{
    struct talk_message message;
    bool answered = false, heard = false;
    double end = talk_now() + 60e6;
    while (!answered || !heard) {
        if (talk_now() > end)
            talk_die("the kernel does not answer");
        send_request(talk, KH_CHANNEL_SHELL, "kernel_info_request", empty_object);
        while (talk_receive(talk, KH_CHANNEL_SHELL, 100, &message))
            answered = true;
        while (talk_receive(talk, KH_CHANNEL_IOPUB, 0, &message))
            heard |= message.parent != 0;
    }
    while (talk_receive(talk, KH_CHANNEL_IOPUB, 200, &message))
        ;
}

void
talk_finish(struct talk *talk, uint64_t id,
            void (*seen)(const struct talk_message *message, void *data), void *data)
{
    struct talk_message message;
    bool replied = false, idle = false;
    while (!replied || !idle) {
        zmq_pollitem_t items[] = {
            {.socket = talk_socket(talk, KH_CHANNEL_SHELL), .events = ZMQ_POLLIN},
            {.socket = talk_socket(talk, KH_CHANNEL_IOPUB), .events = ZMQ_POLLIN},
        };
        if (zmq_poll(items, 2, 120000) <= 0)
            talk_die("no reply and idle within 120 s");
        while (!replied && talk_receive(talk, KH_CHANNEL_SHELL, 0, &message))
            replied = message.parent == id;
        while (!idle && talk_receive(talk, KH_CHANNEL_IOPUB, 0, &message)) {
            if (message.parent != id)
                continue;
            if (seen)
                seen(&message, data);
            idle = message.idle;
        }
    }
}

void
talk_reply(struct talk *talk, uint64_t id)
{
    struct talk_message message;
    do {
        if (!talk_receive(talk, KH_CHANNEL_SHELL, 120000, &message))
            talk_die("no reply within 120 s");
    } while (message.parent != id);
}
