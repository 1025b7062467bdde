#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernelhost/gateway/database.h"
#include "kernelhost/http/v1.h"
#include "protocol/jupyter/connfile.h"

/* A request that waits for its sandbox to be up. */
struct wait {
    struct kh_gateway *gateway;
    struct kh_http_request *request;
    struct kh_sandbox *sandbox;
    char kernel[KH_UUID_SIZE];
    const char *language;
    bool tcp;
    char ip[64];
    char *path; /* of the connection file */
};

void
kh_v1_kernels(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);

    if (sandbox)
        kh_v1_reply(call->request, 200,
                    json_pack("{s:o}", "kernels", kh_v1_kernels_json(sandbox)));
}

static int
read_language(const struct kh_v1_call *call, const char **ret_language,
              struct kh_error *err)
{
    const char *name;
    int r = kh_v1_text(call->body, "language", 64, "python", &name, err);

    if (r < 0)
        return r;
    *ret_language = kh_v1_language(name);
    return *ret_language
               ? 0
               : kh_fail(err, EINVAL,
                         "there is no kernel for that language (hint: python)");
}

static void
on_up_new(void *arg, const struct kh_error *err)
{
    struct wait *wait = arg;
    struct kh_kernel *kernel;
    struct kh_error why;

    if (err) {
        kh_v1_error(wait->request, err);
    } else if (kh_sandbox_need_kernel(wait->sandbox, wait->language, true, NULL,
                                      &kernel, &why) < 0) {
        kh_v1_error(wait->request, &why);
    } else {
        kh_kernel_start(kernel);
        kh_v1_reply(wait->request, 201, kh_v1_kernel_json(kernel));
    }
    free(wait);
}

void
kh_v1_kernel_new(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);
    const char *language;
    struct kh_error err;
    struct wait *wait;

    if (!sandbox)
        return;
    if (read_language(call, &language, &err) < 0) {
        kh_v1_error(call->request, &err);
        return;
    }
    wait = kh_xcalloc(1, sizeof(*wait));
    wait->gateway = call->gateway;
    wait->request = call->request;
    wait->sandbox = sandbox;
    wait->language = language;
    kh_sandbox_up(sandbox, on_up_new, wait);
}

void
kh_v1_kernel_remove(const struct kh_v1_call *call)
{
    struct kh_kernel *kernel = kh_v1_kernel(call);

    if (!kernel)
        return;
    kh_kernel_stop(kernel);
    kh_v1_empty(call->request);
}

void
kh_v1_kernel_interrupt(const struct kh_v1_call *call)
{
    struct kh_kernel *kernel = kh_v1_kernel(call);

    if (!kernel)
        return;
    kh_kernel_interrupt(kernel);
    kh_v1_reply(call->request, 200, kh_v1_kernel_json(kernel));
}

void
kh_v1_kernel_restart(const struct kh_v1_call *call)
{
    struct kh_kernel *kernel = kh_v1_kernel(call);

    if (!kernel)
        return;
    kh_kernel_restart(kernel);
    kh_v1_reply(call->request, 200, kh_v1_kernel_json(kernel));
}

/* The endpoints are what a restart of the host will find again. */
static void
on_saved(void *arg, const struct kh_error *err)
{
    struct wait *wait = arg;

    if (err)
        kh_v1_error(wait->request, err);
    else
        kh_v1_reply(wait->request, 200,
                    json_pack("{s:s, s:s}", "connection_file", wait->path, "kernel_id",
                              wait->kernel));
    free(wait->path);
    free(wait);
}

static void
on_up_connect(void *arg, const struct kh_error *err)
{
    struct wait *wait = arg;
    uint64_t mark = kh_database_mark(wait->gateway->database);
    struct kh_kernel *kernel;
    struct kh_error why;
    char path[PATH_MAX];

    if (err) {
        kh_v1_error(wait->request, err);
    } else if (kh_v1_need_kernel(wait->sandbox, wait->kernel, "python", &kernel, &why) <
                   0 ||
               kh_kernel_connect(kernel, wait->tcp, wait->ip, path, &why) < 0) {
        kh_v1_error(wait->request, &why);
    } else {
        kh_kernel_start(kernel);
        snprintf(wait->kernel, sizeof(wait->kernel), "%s", kh_kernel_id(kernel));
        wait->path = kh_xstrdup(path);
        kh_database_sync(wait->gateway->database, mark, on_saved, wait);
        return;
    }
    free(wait);
}

/* Without encryption the endpoints are for this machine only. */
static int
read_place(const struct kh_v1_call *call, struct wait *wait, struct kh_error *err)
{
    struct kh_connfile file = {0};
    const char *transport, *ip, *id;
    unsigned char address[16];

    if (kh_v1_text(call->body, "transport", 8, "ipc", &transport, err) < 0 ||
        kh_v1_text(call->body, "ip", 45, "127.0.0.1", &ip, err) < 0 ||
        kh_v1_text(call->body, "kernel", KH_UUID_SIZE - 1, "", &id, err) < 0)
        return -err->code;
    if (strcmp(transport, "ipc") && strcmp(transport, "tcp"))
        return kh_fail(err, EINVAL, "'transport' must be \"ipc\" or \"tcp\"");
    if (inet_pton(AF_INET, ip, address) != 1 && inet_pton(AF_INET6, ip, address) != 1)
        return kh_fail(err, EINVAL, "'ip' must be an address like 127.0.0.1");
    snprintf(file.transport, sizeof(file.transport), "tcp");
    snprintf(file.ip, sizeof(file.ip), "%s", ip);
    if (!kh_connfile_is_local(&file))
        return kh_fail(err, EINVAL,
                       "'ip' must be a loopback address: messages are not encrypted");
    wait->tcp = !strcmp(transport, "tcp");
    snprintf(wait->ip, sizeof(wait->ip), "%s", ip);
    snprintf(wait->kernel, sizeof(wait->kernel), "%s", id);
    return 0;
}

void
kh_v1_connect(const struct kh_v1_call *call)
{
    struct kh_sandbox *sandbox = kh_v1_sandbox(call);
    struct wait *wait;
    struct kh_error err;

    if (!sandbox)
        return;
    wait = kh_xcalloc(1, sizeof(*wait));
    wait->gateway = call->gateway;
    wait->request = call->request;
    wait->sandbox = sandbox;
    if (read_place(call, wait, &err) < 0) {
        kh_v1_error(call->request, &err);
        free(wait);
        return;
    }
    kh_sandbox_up(sandbox, on_up_connect, wait);
}
