/* sandbox_list: the kernels and processes of a sandbox. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernelhost/gateway/exec.h"
#include "kernelhost/gateway/kernel.h"
#include "kernelhost/gateway/ledger.h"
#include "kernelhost/gateway/sandbox_own.h"
#include "protocol/link/init.h"

struct kh_kernel *
kh_sandbox_kernels(struct kh_sandbox *sandbox)
{
    return sandbox->kernels;
}

struct kh_kernel *
kh_sandbox_kernel(struct kh_sandbox *sandbox, const char *id)
{
    struct kh_kernel *kernel;

    for (kernel = sandbox->kernels; kernel; kernel = kh_kernel_next(kernel))
        if (!strcmp(kh_kernel_id(kernel), id))
            return kernel;
    return NULL;
}

struct kh_kernel *
kh_sandbox_kernel_numbered(struct kh_sandbox *sandbox, uint32_t number)
{
    struct kh_kernel *kernel = sandbox->kernels;

    while (kernel && kh_kernel_number(kernel) != number)
        kernel = kh_kernel_next(kernel);
    return kernel;
}

struct kh_kernel *
kh_sandbox_insert_kernel(struct kh_sandbox *sandbox, uint32_t number, const char *id,
                         const char *language, const struct kh_kernel_owner *owner)
{
    struct kh_kernel *kernel, *before = NULL, *at = sandbox->kernels;

    while (at && kh_kernel_number(at) < number) {
        before = at;
        at = kh_kernel_next(at);
    }
    kernel = kh_kernel_new(sandbox->gateway, sandbox, number, id, language, owner);
    kh_kernel_set_next(kernel, at);
    if (before)
        kh_kernel_set_next(before, kernel);
    else
        sandbox->kernels = kernel;
    sandbox->kernel_count++;
    return kernel;
}

int
kh_sandbox_recover(struct kh_sandbox *sandbox, const struct kh_ledger_kernel *note)
{
    char language[KH_LANGUAGE_SIZE];

    if (note->number < 1 || note->number > KH_KERNELS_MAX ||
        memcmp(note->sandbox, sandbox->record.id, KH_ID_SIZE) ||
        kh_sandbox_kernel_numbered(sandbox, note->number))
        return -EINVAL;
    snprintf(language, sizeof(language), "%.32s", note->language);
    kh_sandbox_insert_kernel(sandbox, note->number, NULL, language, NULL);
    return 0;
}

int
kh_sandbox_recover_row(struct kh_sandbox *sandbox, const struct kh_row_kernel *row)
{
    if (row->number < 1 || row->number > KH_KERNELS_MAX ||
        kh_sandbox_kernel_numbered(sandbox, row->number))
        return -EINVAL;
    kh_sandbox_insert_kernel(sandbox, row->number, row->id, row->kind, NULL);
    return 0;
}

int
kh_sandbox_need_kernel(struct kh_sandbox *sandbox, const char *language, bool fresh,
                       const struct kh_kernel_owner *owner,
                       struct kh_kernel **ret_kernel, struct kh_error *err)
{
    struct kh_kernel *kernel;
    uint32_t number = 1;

    for (kernel = sandbox->kernels; kernel; kernel = kh_kernel_next(kernel)) {
        if (kh_kernel_usable(kernel) && !strcmp(kh_kernel_language(kernel), language) &&
            (!fresh || (!owner && kh_kernel_claim(kernel)))) {
            *ret_kernel = kernel;
            return 0;
        }
        if (kh_kernel_number(kernel) == number)
            number++;
    }
    if (number > KH_KERNELS_MAX)
        return kh_fail(err, EAGAIN, "sandbox '%s' has %u kernels (hint: remove one)",
                       sandbox->record.name, KH_KERNELS_MAX);
    *ret_kernel = kh_sandbox_insert_kernel(sandbox, number, NULL, language, owner);
    return 0;
}

void
kh_sandbox_drop_kernel(struct kh_sandbox *sandbox, struct kh_kernel *kernel)
{
    struct kh_kernel *at = sandbox->kernels;

    sandbox->kernel_count--;
    sandbox->numbers |= UINT64_C(1) << (kh_kernel_number(kernel) - 1);
    if (at == kernel) {
        sandbox->kernels = kh_kernel_next(kernel);
        return;
    }
    while (kh_kernel_next(at) != kernel)
        at = kh_kernel_next(at);
    kh_kernel_set_next(at, kh_kernel_next(kernel));
}

void
kh_sandbox_note_joined(struct kh_sandbox *sandbox, const struct kh_broker_reply *reply)
{
    sandbox->joined = reply->arg & KH_BROKER_WARM;
}

bool
kh_sandbox_take_joined(struct kh_sandbox *sandbox)
{
    bool joined = sandbox->joined;

    sandbox->joined = false;
    return joined;
}

static void
on_warm(void *arg, const struct kh_error *err)
{
    struct kh_sandbox *sandbox = arg;
    struct kh_kernel *kernel;

    if (err || sandbox->kernels ||
        kh_sandbox_need_kernel(sandbox, "python", true, NULL, &kernel, NULL) < 0)
        return;
    kh_kernel_set_warm(kernel);
    kh_kernel_start(kernel);
}

void
kh_sandbox_warm(struct kh_sandbox *sandbox)
{
    if (!sandbox->joined)
        kh_sandbox_up(sandbox, on_warm, sandbox);
}

int
kh_sandbox_add_exec(struct kh_sandbox *sandbox, struct kh_exec *exec,
                    struct kh_error *err)
{
    if (sandbox->exec_count >= KH_EXECS_MAX)
        return kh_fail(err, EAGAIN, "sandbox '%s' runs %u processes by exec already",
                       sandbox->record.name, KH_EXECS_MAX);
    kh_exec_set_next(exec, sandbox->execs);
    sandbox->execs = exec;
    sandbox->exec_count++;
    return 0;
}

void
kh_sandbox_drop_exec(struct kh_sandbox *sandbox, struct kh_exec *exec)
{
    struct kh_exec *at = sandbox->execs;

    if (at == exec) {
        sandbox->execs = kh_exec_next(exec);
    } else {
        while (at && kh_exec_next(at) != exec)
            at = kh_exec_next(at);
        if (!at)
            return; /* it was never added */
        kh_exec_set_next(at, kh_exec_next(exec));
    }
    sandbox->exec_count--;
}

struct kh_exec *
kh_sandbox_exec(struct kh_sandbox *sandbox, uint64_t number)
{
    struct kh_exec *exec = sandbox->execs;

    while (exec && kh_exec_number(exec) != number)
        exec = kh_exec_next(exec);
    return exec;
}
