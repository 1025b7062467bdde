/* null-kernel CONNECTION_FILE: a kernel that does nothing, as fast as can be: the
 * floor under every figure of a real one. It answers an execute_request by status
 * busy, execute_input, execute_reply and status idle, a kernel_info_request by busy,
 * a reply and idle, checks and makes signatures like any other kernel, and does not
 * look at the code.
 */
#include <czmq.h>
#include <fcntl.h>
#include <string.h>

#include "base/mem.h"
#include "protocol/jupyter/connfile.h"
#include "protocol/jupyter/json.h"
#include "protocol/jupyter/wire.h"

struct null_kernel {
    struct kh_signer *signer;
    struct kh_origin origin;
    zsock_t *sock[KH_CHANNELS];
    uint64_t count;
};

static void
die(const char *text)
{
    fprintf(stderr, "null-kernel: %s\n", text);
    exit(1);
}

static void
send_message(struct null_kernel *kernel, enum kh_channel channel, const char *type,
             const struct kh_wire *request, const char *content)
{
    struct kh_buf header = KH_BUF_INIT;
    struct kh_wire wire = {.parent_header = request->header,
                           .content = kh_slice_text(content)};
    struct kh_wire_out out;
    struct kh_error err;
    kh_origin_header(&kernel->origin, type, 0, &header);
    wire.header = (struct kh_slice){kh_buf_ptr(&header), kh_buf_len(&header)};
    wire.ident_count = 1;
    wire.ident[0] = kh_slice_text(type);
    if (channel != KH_CHANNEL_IOPUB) {
        wire.ident_count = request->ident_count;
        memcpy(wire.ident, request->ident, sizeof(wire.ident));
    }
    if (kh_wire_compose(&wire, kernel->signer, &out, &err) < 0)
        die(err.text);
    void *sock = zsock_resolve(kernel->sock[channel]);
    for (size_t i = 0; i < out.count; i++)
        if (zmq_send(sock, out.frame[i].data, out.frame[i].size,
                     i + 1 < out.count ? ZMQ_SNDMORE : 0) < 0)
            die(zmq_strerror(errno));
    kh_buf_release(&header);
}

static const char info[] =
    "{\"status\":\"ok\",\"protocol_version\":\"5.5\",\"implementation\":\"null\","
    "\"implementation_version\":\"1\",\"language_info\":{\"name\":\"none\","
    "\"version\":\"1\",\"mimetype\":\"text/plain\",\"file_extension\":\".txt\"},"
    "\"banner\":\"\",\"help_links\":[]}";

static void
answer(struct null_kernel *kernel, enum kh_channel channel, const struct kh_wire *wire)
{
    static const char *const names[] = {"code"};
    struct kh_json_value code;
    struct kh_buf input = KH_BUF_INIT;
    const char *type = "kernel_info_reply", *reply = info;
    send_message(kernel, KH_CHANNEL_IOPUB, "status", wire,
                 "{\"execution_state\":\"busy\"}");
    if (strcmp(wire->head.msg_type, "execute_request") == 0) {
        if (kh_json_find(wire->content, names, 1, &code, NULL) < 0 || code.type == 0)
            die("an execute_request without code");
        kh_json_addf(&input, "{\"code\":%J,\"execution_count\":%l}", &code.text,
                     (int64_t)++kernel->count);
        kh_buf_add(&input, "", 1);
        send_message(kernel, KH_CHANNEL_IOPUB, "execute_input", wire,
                     kh_buf_ptr(&input));
        type = "execute_reply";
        reply = "{\"status\":\"ok\",\"execution_count\":1,\"user_expressions\":{},"
                "\"payload\":[]}";
    }
    send_message(kernel, channel, type, wire, reply);
    send_message(kernel, KH_CHANNEL_IOPUB, "status", wire,
                 "{\"execution_state\":\"idle\"}");
    kh_buf_release(&input);
}

static void
take(struct null_kernel *kernel, enum kh_channel channel)
{
    zframe_t *frame[KH_WIRE_FRAMES_MAX];
    struct kh_slice slice[KH_WIRE_FRAMES_MAX];
    struct kh_wire wire;
    struct kh_error err;
    size_t count = 0;
    do {
        frame[count] = zframe_recv(kernel->sock[channel]);
        if (!frame[count])
            die("cannot receive");
        slice[count] =
            (struct kh_slice){zframe_data(frame[count]), zframe_size(frame[count])};
        count++;
    } while (zsock_rcvmore(kernel->sock[channel]) && count < KH_WIRE_FRAMES_MAX);
    if (kh_wire_parse(slice, count, kernel->signer, NULL, &wire, &err) != KH_WIRE_OK)
        die(err.text);
    answer(kernel, channel, &wire);
    while (count > 0)
        zframe_destroy(&frame[--count]);
}

static void
echo(zsock_t *heartbeat)
{
    zframe_t *frame = zframe_recv(heartbeat);
    if (!frame || zframe_send(&frame, heartbeat, 0) < 0)
        die("cannot answer a heartbeat");
}

static void
bind_to(struct null_kernel *kernel, const struct kh_connfile *file,
        enum kh_channel channel, int type)
{
    char endpoint[KH_ENDPOINT_SIZE];
    struct kh_error err;
    if (kh_connfile_endpoint(file, channel, endpoint, &err) < 0)
        die(err.text);
    kernel->sock[channel] = zsock_new(type);
    zsock_set_sndhwm(kernel->sock[channel], 0);
    zsock_set_rcvhwm(kernel->sock[channel], 0);
    if (zsock_bind(kernel->sock[channel], "%s", endpoint) < 0)
        die("cannot bind");
}

int
main(int argc, char **argv)
{
    static struct null_kernel kernel;
    struct kh_connfile file;
    struct kh_error err;
    if (argc != 2)
        die("usage: null-kernel CONNECTION_FILE");
    if (kh_connfile_read(AT_FDCWD, argv[1], &file, &err) < 0 ||
        kh_signer_new(file.signature_scheme, kh_slice_text(file.key), &kernel.signer,
                      &err) < 0)
        die(err.text);
    kh_origin_init(&kernel.origin, "null");
    bind_to(&kernel, &file, KH_CHANNEL_SHELL, ZMQ_ROUTER);
    bind_to(&kernel, &file, KH_CHANNEL_CONTROL, ZMQ_ROUTER);
    bind_to(&kernel, &file, KH_CHANNEL_IOPUB, ZMQ_PUB);
    bind_to(&kernel, &file, KH_CHANNEL_HB, ZMQ_REP);
    zpoller_t *poller =
        zpoller_new(kernel.sock[KH_CHANNEL_SHELL], kernel.sock[KH_CHANNEL_CONTROL],
                    kernel.sock[KH_CHANNEL_HB], NULL);
    for (;;) {
        void *ready = zpoller_wait(poller, -1);
        if (!ready)
            return 0;
        if (ready == kernel.sock[KH_CHANNEL_HB])
            echo(ready);
        else if (ready == kernel.sock[KH_CHANNEL_SHELL])
            take(&kernel, KH_CHANNEL_SHELL);
        else
            take(&kernel, KH_CHANNEL_CONTROL);
    }
}
