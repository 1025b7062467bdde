/* router: a verified message of a client, by the table of schema.h.
 *
 * Some requests are the gateway's own to answer; the rest goes to the kernel. A
 * type that is not known gets busy and idle and no reply, as the protocol says;
 * content that does not fit gets an error reply that names the field.
 */
#include <errno.h>
#include <string.h>

#include "base/clean.h"
#include "kernelhost/gateway/kernel_own.h"
#include "protocol/jupyter/reply.h"
#include "protocol/link/init.h"

#define NOTHING ((struct kh_slice){NULL, 0})

static struct kh_slice
slice_of(const struct kh_buf *buf)
{
    return (struct kh_slice){kh_buf_ptr(buf), kh_buf_len(buf)};
}

/* What a handler gets. */
struct call {
    struct kh_kernel *kernel;
    const struct kh_asker *asker;
    const struct kh_schema *row;
    const struct kh_json_value *values;
};

static void
answer(const struct call *call, struct kh_buf *content)
{
    kh_answer(call->kernel, call->asker, call->row->reply, NOTHING, slice_of(content),
              NULL, 0);
    kh_buf_release(content);
}

/* On shell it keeps its place in the queue when there is one; the kernel
 * answers then. */
static bool
kernel_info_is_ours(const struct call *call)
{
    return call->asker->channel == KH_CHANNEL_CONTROL ||
           (call->kernel->life == KH_LIFE_READY &&
            !kh_requests_count(call->kernel->requests));
}

static void
on_kernel_info(const struct call *call)
{
    struct kh_kernel *kernel = call->kernel;
    struct kh_buf content = KH_BUF_INIT;

    if (kh_buf_len(&kernel->info))
        kh_buf_add(&content, kh_buf_ptr(&kernel->info), kh_buf_len(&kernel->info));
    else
        kh_reply_kernel_info(&content, kernel->language);
    answer(call, &content);
}

static void
on_interrupt(const struct call *call)
{
    struct kh_buf content = KH_BUF_INIT;

    kh_kernel_interrupt(call->kernel);
    kh_reply_ok(&content);
    answer(call, &content);
}

static void
on_connect(const struct call *call)
{
    struct kh_kernel *kernel = call->kernel;
    struct kh_buf content = KH_BUF_INIT;

    kh_reply_connect(
        &content, kernel->file[kernel->file[KH_BIND_TCP] ? KH_BIND_TCP : KH_BIND_IPC]);
    answer(call, &content);
}

/* The reply goes to who asked and, on iopub, to everybody. */
static void
on_shutdown(const struct call *call)
{
    struct kh_kernel *kernel = call->kernel;
    bool restart = kh_schema_true(call->row, call->values, "restart");
    struct kh_buf content = KH_BUF_INIT;

    kh_reply_shutdown(&content, restart);
    kh_tell(kernel, 0, call->asker->header, "shutdown_reply", NOTHING,
            slice_of(&content), NULL, 0);
    answer(call, &content);
}

/* After the idle of the request: what it asked for. */
static void
after_shutdown(const struct call *call)
{
    struct kh_kernel *kernel = call->kernel;
    bool restart = kh_schema_true(call->row, call->values, "restart");

    if (kernel->owned)
        kernel->owner.shutdown(kernel->owner.arg, restart);
    else if (restart)
        kh_kernel_restart(kernel);
    else
        kh_kernel_stop(kernel);
}

static const struct {
    const char *msg_type;
    bool (*ours)(const struct call *call); /* NULL: always */
    void (*handle)(const struct call *call);
    void (*after)(const struct call *call); /* after its idle */
} host_table[] = {
    {"kernel_info_request", kernel_info_is_ours, on_kernel_info, NULL},
    {"interrupt_request", NULL, on_interrupt, NULL},
    {"connect_request", NULL, on_connect, NULL},
    {"shutdown_request", NULL, on_shutdown, after_shutdown},
};

/* True when the gateway itself has answered. */
static bool
answered_here(const struct call *call)
{
    size_t i = 0;

    while (i < KH_COUNT(host_table) &&
           strcmp(call->row->msg_type, host_table[i].msg_type))
        i++;
    if (i == KH_COUNT(host_table) || (host_table[i].ours && !host_table[i].ours(call)))
        return false;
    kh_tell_state(call->kernel, call->asker, "busy");
    host_table[i].handle(call);
    kh_tell_state(call->kernel, call->asker, "idle");
    if (host_table[i].after)
        host_table[i].after(call);
    return true;
}

static unsigned
flags_of(const struct kh_asker *asker, const struct kh_schema *row,
         const struct kh_json_value *values)
{
    unsigned flags = asker->channel == KH_CHANNEL_SHELL ? 0 : KH_REQUEST_CONTROL;

    if (strcmp(row->msg_type, "execute_request"))
        return flags;
    flags |= KH_REQUEST_EXECUTE;
    if (kh_schema_true(row, values, "stop_on_error"))
        flags |= KH_REQUEST_STOP_ON_ERROR;
    return flags;
}

static void
forward(struct kh_kernel *kernel, const struct kh_asker *asker,
        const struct kh_schema *row, unsigned flags, const struct kh_wire *wire,
        struct kh_slice content)
{
    struct kh_frame frame = {.flags = (uint16_t)flags, .count = 4};
    size_t i;

    frame.slice[0] = wire->header;
    frame.slice[1] = wire->parent_header;
    frame.slice[2] = wire->metadata;
    frame.slice[3] = content;
    for (i = 0; i < wire->buffer_count; i++)
        frame.slice[frame.count++] = wire->buffer[i];
    kh_kernel_take(kernel, asker, row, &frame);
}

/* Busy, an error reply if the type has a reply, idle. */
static void
refuse(struct kh_kernel *kernel, const struct kh_asker *asker,
       const struct kh_schema *row, const char *ename, const char *evalue)
{
    kh_tell_state(kernel, asker, "busy");
    if (row)
        kh_answer_failed(kernel, asker, row, ename, evalue);
    kh_tell_state(kernel, asker, "idle");
}

static void
route_known(struct kh_kernel *kernel, const struct kh_asker *asker,
            const struct kh_schema *row, const struct kh_wire *wire)
{
    struct kh_json_value values[KH_SCHEMA_FIELDS_MAX];
    struct kh_buf scratch = KH_BUF_INIT;
    struct call call = {kernel, asker, row, values};
    struct kh_slice content;
    struct kh_error err;

    if (kh_schema_apply(row, wire->content, &scratch, &content, values, &err) < 0)
        refuse(kernel, asker, row, "InvalidRequest", err.text);
    else if (!answered_here(&call))
        forward(kernel, asker, row, flags_of(asker, row, values), wire, content);
    kh_buf_release(&scratch);
}

/* Whether it comes from who asked for the execution that runs: only that client may
 * answer its questions. Whether there is one, the kernel knows. */
static bool
may_answer(struct kh_kernel *kernel, const struct kh_wire *wire)
{
    const struct kh_request *request =
        kernel->running ? kh_requests_find(kernel->requests, kernel->last_request)
                        : NULL;
    size_t i;

    if (!request || request->sink || request->ident_count != wire->ident_count)
        return false;
    for (i = 0; i < wire->ident_count; i++)
        if (request->ident[i].size != wire->ident[i].size ||
            memcmp(request->ident[i].data, wire->ident[i].data, wire->ident[i].size))
            return false;
    return true;
}

void
kh_route(struct kh_kernel *kernel, enum kh_channel channel, const struct kh_wire *wire,
         const struct kh_route_mark *from)
{
    const struct kh_schema *row = kh_schema_request(wire->head.msg_type);
    struct kh_asker asker = {.channel = channel,
                             .header = wire->header,
                             .ident = wire->ident,
                             .ident_count = wire->ident_count,
                             .from = *from};

    if (channel == KH_CHANNEL_STDIN && !may_answer(kernel, wire))
        return; /* nobody has asked it: a stale answer, or a stranger's */
    if (row && !(row->channels & 1u << channel))
        row = NULL;
    kh_kernel_touch(kernel);
    if (!row)
        refuse(kernel, &asker, NULL, NULL, NULL);
    else if (wire->head.subshell_id[0])
        refuse(kernel, &asker, row, "SubshellNotFound", "this kernel has no subshells");
    else
        route_known(kernel, &asker, row, wire);
}
