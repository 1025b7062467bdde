#include "sandbox/init/request.h"

#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clean.h"
#include "base/error.h"
#include "protocol/link/init.h"
#include "protocol/link/runner.h"
#include "sandbox/init/conn.h"
#include "sandbox/init/exec.h"
#include "sandbox/init/kernels.h"

#define REQUEST_FLAGS                                                                  \
    (KH_REQUEST_CONTROL | KH_REQUEST_EXECUTE | KH_REQUEST_STOP_ON_ERROR |              \
     KH_REQUEST_CHECKPOINT | KH_REQUEST_ROLLBACK | KH_REQUEST_OF_INIT)

#define WELCOME_SLICE 32

static void
put(unsigned char *at, uint64_t value, int bytes)
{
    int i;

    for (i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

/* A stopped kernel is listed as long as something of its journal is held. */
static void
welcome(void)
{
    unsigned char bytes[KH_KERNELS_MAX][WELCOME_SLICE];
    struct kh_frame frame = {.type = KH_INIT_WELCOME, .id = KH_INIT_VERSION};
    struct kh_kernel *kernel = NULL;

    while ((kernel = kh_kernels_after(kernel ? kernel->number : 0))) {
        unsigned char *at = bytes[frame.count];

        if (kernel->state == KH_QUEUE_NONE && !kernel->journal.count)
            continue;
        put(at, kernel->number, 4);
        put(at + 4, kernel->told, 4);
        put(at + 8, kh_journal_first(&kernel->journal), 8);
        put(at + 16, kernel->journal.last, 8);
        put(at + 24, kernel->queue.last, 8);
        frame.slice[frame.count++] = (struct kh_slice){at, WELCOME_SLICE};
    }
    kh_conn_answer(&frame);
}

static int
hello(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    (void)kernel;
    if (frame->id != KH_INIT_VERSION)
        return kh_fail(err, EPROTONOSUPPORT, "init speaks version %d of its protocol",
                       KH_INIT_VERSION);
    if (getpid() == 1)
        (void)prctl(PR_SET_DUMPABLE, 0);
    welcome();
    kh_conn_greeted();
    return 0;
}

static int
restart(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    (void)frame;
    return kh_kernel_restart(kernel, err);
}

static int
stop(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    (void)frame;
    return kh_kernel_stop(kernel, err);
}

static int
request(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    if (!frame->id)
        return kh_fail(err, EINVAL, "a request needs an id");
    if (frame->flags & ~REQUEST_FLAGS)
        return kh_fail(err, EINVAL, "unknown flags in a request");
    if (!kh_rollback_fits(frame))
        return kh_fail(err, EINVAL, "flags and slices of a request do not fit");
    return kh_kernel_request(kernel, frame, err);
}

static int
interrupt(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    return kh_kernel_interrupt(kernel, frame->id, err);
}

static int
ack(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    if (frame->seq > kernel->journal.last)
        return kh_fail(err, EINVAL, "entry %llu of kernel %u was never written",
                       (unsigned long long)frame->seq, kernel->number);
    kh_kernel_ack(kernel, frame->seq);
    return 0;
}

static int
attach(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    if (frame->seq > kernel->journal.last)
        return kh_fail(err, EINVAL, "entry %llu of kernel %u was never written",
                       (unsigned long long)frame->seq, kernel->number);
    kh_conn_attach(kernel->number, frame->seq);
    return 0;
}

static int
exec_start(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    (void)kernel;
    return kh_exec_start(frame, err);
}

static int
exec_input(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    (void)kernel;
    return kh_exec_input(frame, err);
}

static int
exec_signal(struct kh_kernel *kernel, const struct kh_frame *frame,
            struct kh_error *err)
{
    (void)kernel;
    return kh_exec_signal(frame, err);
}

static int
exec_ack(struct kh_kernel *kernel, const struct kh_frame *frame, struct kh_error *err)
{
    (void)kernel;
    (void)err;
    kh_exec_ack(frame->id, frame->seq);
    return 0;
}

static const struct {
    uint16_t type;
    bool kernel;          /* its kernel number must be valid */
    uint32_t least, most; /* slices */
    int (*handle)(struct kh_kernel *, const struct kh_frame *, struct kh_error *);
} requests[] = {
    {KH_INIT_HELLO, false, 0, 0, hello},
    {KH_INIT_KERNEL_START, true, 3, 3, kh_kernel_start},
    {KH_INIT_KERNEL_RESTART, true, 0, 0, restart},
    {KH_INIT_KERNEL_STOP, true, 0, 0, stop},
    {KH_INIT_REQUEST, true, 4, KH_FRAME_SLICES_MAX, request},
    {KH_INIT_INTERRUPT, true, 0, 0, interrupt},
    {KH_INIT_ACK, true, 0, 0, ack},
    {KH_INIT_ATTACH, true, 0, 0, attach},
    {KH_INIT_EXEC, false, 3, 3, exec_start},
    {KH_INIT_EXEC_INPUT, false, 0, 1, exec_input},
    {KH_INIT_EXEC_SIGNAL, false, 0, 0, exec_signal},
    {KH_INIT_EXEC_ACK, false, 0, 0, exec_ack},
};

static void
refuse(const struct kh_frame *frame, const struct kh_error *err)
{
    struct kh_frame answer = {.type = KH_INIT_REFUSED,
                              .flags = frame->type,
                              .kernel = frame->kernel,
                              .id = frame->id,
                              .count = 1};

    answer.slice[0] = kh_slice_text(err->text);
    kh_conn_answer(&answer);
}

int
kh_request_handle(const struct kh_frame *frame)
{
    struct kh_kernel *kernel = NULL;
    struct kh_error err;
    size_t i;

    if (frame->type == KH_INIT_BYE) {
        /* Else CRIU cannot look at one that it has made itself. Nobody else can: who
         * is not our user needs capabilities that nobody inside has. */
        (void)prctl(PR_SET_DUMPABLE, 1);
        kh_conn_part();
        return 0;
    }
    for (i = 0; i < KH_COUNT(requests); i++)
        if (requests[i].type == frame->type)
            break;
    if (i == KH_COUNT(requests) || frame->count < requests[i].least ||
        frame->count > requests[i].most)
        return -EBADMSG;
    if (requests[i].kernel)
        kernel = kh_kernels_slot(frame->kernel);
    if (requests[i].kernel && !kernel)
        kh_fail(&err, EINVAL, "kernel numbers are 1 to %u", KH_KERNELS_MAX);
    else if (requests[i].handle(kernel, frame, &err) >= 0)
        return 0;
    refuse(frame, &err);
    return 0;
}
