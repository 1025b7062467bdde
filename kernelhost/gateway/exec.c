#include "kernelhost/gateway/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernelhost/gateway/link.h"
#include "protocol/link/init.h"

#define INPUT_PIECE   (1024u * 1024)
#define WINDOW_LEEWAY (2u * 1024 * 1024) /* frames on their way beyond the window */

struct kh_exec {
    struct kh_exec *next;
    struct kh_sandbox *sandbox;
    struct kh_exec_events events;
    uint64_t number;
    uint64_t received; /* bytes of output */
    uint64_t taken;    /* of them confirmed by the owner */
    uint64_t acked;    /* and told to init */
    bool left;         /* the owner has gone */
};

static void
send_number(struct kh_exec *exec, enum kh_init_type type, unsigned flags, uint64_t seq)
{
    struct kh_frame frame = {
        .type = type, .flags = (uint16_t)flags, .id = exec->number, .seq = seq};

    kh_sandbox_send_urgent(exec->sandbox, &frame, NULL);
}

static int
send_input(struct kh_exec *exec, struct kh_slice input, struct kh_error *err)
{
    struct kh_frame frame = {.type = KH_INIT_EXEC_INPUT, .id = exec->number};
    const char *at = input.data;
    size_t left = input.size;

    while (left) {
        size_t piece = left < INPUT_PIECE ? left : INPUT_PIECE;
        int r;

        frame.count = 1;
        frame.slice[0] = (struct kh_slice){at, piece};
        r = kh_sandbox_send(exec->sandbox, &frame, err);
        if (r < 0)
            return r;
        at += piece;
        left -= piece;
    }
    frame.count = 0;
    return kh_sandbox_send_urgent(exec->sandbox, &frame, err);
}

int
kh_exec_start(struct kh_gateway *gateway, struct kh_sandbox *sandbox,
              const struct kh_exec_plan *plan, const struct kh_exec_events *events,
              struct kh_exec **ret_exec, struct kh_error *err)
{
    struct kh_exec *exec = kh_xcalloc(1, sizeof(*exec));
    struct kh_frame frame = {.type = KH_INIT_EXEC, .count = 3};
    int r;

    exec->sandbox = sandbox;
    exec->events = *events;
    exec->number = ++gateway->last_number;
    frame.id = exec->number;
    frame.slice[0] = plan->argv;
    frame.slice[1] = plan->env;
    frame.slice[2] = plan->cwd;
    r = kh_sandbox_add_exec(sandbox, exec, err);
    if (r == 0)
        r = kh_sandbox_send(sandbox, &frame, err);
    if (r == 0) {
        r = send_input(exec, plan->input, err);
        if (r < 0)
            send_number(exec, KH_INIT_EXEC_SIGNAL, SIGKILL, 0);
    }
    if (r < 0) {
        kh_sandbox_drop_exec(sandbox, exec);
        free(exec);
        return r;
    }
    *ret_exec = exec;
    return 0;
}

void
kh_exec_took(struct kh_exec *exec, size_t size)
{
    exec->taken += size;
    /* Not for every line: a quarter of the window at a time. */
    if (exec->taken - exec->acked < KH_EXEC_WINDOW / 4 && exec->taken != exec->received)
        return;
    exec->acked = exec->taken;
    send_number(exec, KH_INIT_EXEC_ACK, 0, exec->acked);
}

void
kh_exec_leave(struct kh_exec *exec)
{
    exec->left = true;
    send_number(exec, KH_INIT_EXEC_SIGNAL, SIGHUP, 0);
    if (exec->received > exec->taken)
        kh_exec_took(exec, exec->received - exec->taken);
}

static void
end(struct kh_exec *exec, int status, const char *why)
{
    kh_sandbox_drop_exec(exec->sandbox, exec);
    if (!exec->left)
        exec->events.ended(exec->events.arg, status, why);
    free(exec);
}

static int
on_output(struct kh_exec *exec, const struct kh_frame *frame, struct kh_error *err)
{
    struct kh_slice bytes = frame->slice[0];

    if (frame->flags != KH_STREAM_STDOUT && frame->flags != KH_STREAM_STDERR)
        return kh_fail(err, EBADMSG, "process output on stream %u", frame->flags);
    exec->received += bytes.size;
    if (exec->received - exec->acked > KH_EXEC_WINDOW + WINDOW_LEEWAY)
        return kh_fail(err, EBADMSG, "process output over its window");
    if (exec->left)
        kh_exec_took(exec, bytes.size);
    else
        exec->events.output(exec->events.arg, (enum kh_stream)frame->flags, bytes);
    return 0;
}

static void
on_exit_(struct kh_exec *exec, const struct kh_frame *frame)
{
    char why[200];

    if (!frame->count || !frame->slice[0].size) {
        end(exec, (int)(frame->seq & 0xffff), NULL);
        return;
    }
    kh_log_clean(frame->slice[0].data, frame->slice[0].size, why, sizeof(why));
    end(exec, (int)(frame->seq & 0xffff), why);
}

int
kh_exec_frame(struct kh_exec *exec, const struct kh_frame *frame, struct kh_error *err)
{
    if (frame->type == KH_INIT_EXEC_OUTPUT)
        return on_output(exec, frame, err);
    if (frame->type == KH_INIT_EXEC_EXIT)
        on_exit_(exec, frame);
    else
        kh_exec_lost(exec, "the sandbox refused to start the process");
    return 0;
}

void
kh_exec_lost(struct kh_exec *exec, const char *why)
{
    end(exec, 0, why);
}

uint64_t
kh_exec_number(const struct kh_exec *exec)
{
    return exec->number;
}

struct kh_exec *
kh_exec_next(const struct kh_exec *exec)
{
    return exec->next;
}

void
kh_exec_set_next(struct kh_exec *exec, struct kh_exec *next)
{
    exec->next = next;
}
