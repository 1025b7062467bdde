/* connect: the endpoints of a kernel and the files that tell where they are. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/gateway/kernel_own.h"
#include "kernelhost/gateway/room.h"
#include "protocol/jupyter/reply.h"

static void
on_request(void *arg, enum kh_channel channel, const struct kh_wire *wire)
{
    kh_route(arg, channel, wire);
}

/* iopub_welcome (JEP 65): whoever sees it knows that it misses nothing now. */
static void
on_subscribed(void *arg, struct kh_slice topic)
{
    struct kh_kernel *kernel = arg;
    struct kh_buf content = KH_BUF_INIT;

    kh_reply_welcome(&content, topic);
    kh_tell(kernel, 0, (struct kh_slice){NULL, 0}, "iopub_welcome",
            (struct kh_slice){NULL, 0},
            (struct kh_slice){kh_buf_ptr(&content), kh_buf_len(&content)}, NULL, 0);
    kh_buf_release(&content);
}

static void
on_moved(void *arg)
{
    kh_kernel_pace(arg);
}

/* The key and scheme are those of the first file; a second one gets them too. */
static int
need_channels(struct kh_kernel *kernel, struct kh_connfile *file, struct kh_error *err)
{
    struct kh_channels_events events = {.request = on_request,
                                        .subscribed = on_subscribed,
                                        .moved = on_moved,
                                        .arg = kernel};
    const struct kh_connfile *other =
        kernel->file[kernel->file[KH_BIND_IPC] ? KH_BIND_IPC : KH_BIND_TCP];

    if (other) { /* then there are channels, and not before */
        memcpy(file->key, other->key, sizeof(file->key));
        memcpy(file->signature_scheme, other->signature_scheme,
               sizeof(file->signature_scheme));
        return 0;
    }
    if (!file->key[0])
        kh_connfile_new_key(file);
    kernel->channels =
        kh_channels_new(kernel->gateway->loop, kernel->gateway->heart, kernel->id,
                        file->signature_scheme, kh_slice_text(file->key), &events, err);
    return kernel->channels ? 0 : -err->code;
}

static void
drop_channels(struct kh_kernel *kernel)
{
    kh_channels_free(STEAL_PTR(kernel->channels));
    kernel->crowded = false;
}

int
kh_kernel_bind(struct kh_kernel *kernel, const struct kh_connfile *file,
               const char *bind_prefix, const struct kh_connfile **ret_file,
               struct kh_error *err)
{
    enum kh_bind kind = kh_connfile_is_ipc(file) ? KH_BIND_IPC : KH_BIND_TCP;
    struct kh_connfile wanted = *file;
    bool fresh = !kernel->channels;
    int r;

    if (kernel->file[kind]) {
        *ret_file = kernel->file[kind];
        return kh_connfile_is_ipc(file) || !strcmp(file->ip, kernel->file[kind]->ip)
                   ? 0
                   : kh_fail(err, EBUSY, "kernel '%s' is bound to '%s' already",
                             kernel->id, kernel->file[kind]->ip);
    }
    r = fresh ? kh_room_need(KH_ROOM_ENDPOINTS, err) : 0;
    if (r == 0)
        r = need_channels(kernel, &wanted, err);
    if (r == 0)
        r = kh_channels_bind(kernel->channels, &wanted, bind_prefix, err);
    if (r == 0 && kernel->life == KH_LIFE_DEAD)
        kh_channels_still(kernel->channels);
    if (r < 0 && fresh && kernel->channels)
        drop_channels(kernel);
    if (r == 0) {
        kernel->file[kind] = kh_xcalloc(1, sizeof(wanted));
        *kernel->file[kind] = wanted;
        kernel->warm = false;
        *ret_file = kernel->file[kind];
    }
    kh_connfile_wipe(&wanted);
    return r;
}

/* Five sockets "k/1f2e3d4c-1".."-5": short, since sun_path holds 107 bytes. */
int
kh_kernel_own_place(const struct kh_gateway *gateway, struct kh_connfile *file,
                    char ret_prefix[KH_PREFIX_SIZE], struct kh_error *err)
{
    const char *dir = gateway->public_dir;
    unsigned nonce;
    int i, n;

    kh_random(&nonce, sizeof(nonce));
    snprintf(ret_prefix, KH_PREFIX_SIZE, KH_DIR_SOCKETS "/%08x", nonce);
    if (strlen(dir) + strlen(ret_prefix) + 2 > sizeof(file->ip))
        return kh_fail(err, ENAMETOOLONG,
                       "the path of '%s' is too long for sockets (hint: tcp)", dir);
    snprintf(file->transport, sizeof(file->transport), "ipc");
    n = snprintf(file->ip, sizeof(file->ip), "%s/", dir);
    memcpy(file->ip + n, ret_prefix, strlen(ret_prefix) + 1);
    for (i = 0; i < KH_CHANNELS; i++)
        file->port[i] = (uint16_t)(i + 1);
    return 0;
}

int
kh_kernel_connect(struct kh_kernel *kernel, bool tcp, const char *ip, char *ret_path,
                  struct kh_error *err)
{
    enum kh_bind kind = tcp ? KH_BIND_TCP : KH_BIND_IPC;
    struct kh_connfile file = {0};
    const struct kh_connfile *bound = NULL;
    char prefix[KH_PREFIX_SIZE] = "", path[96];
    int r = 0;

    snprintf(file.transport, sizeof(file.transport), "tcp");
    if (tcp)
        snprintf(file.ip, sizeof(file.ip), "%s", ip);
    else
        r = kh_kernel_own_place(kernel->gateway, &file, prefix, err);
    snprintf(file.signature_scheme, sizeof(file.signature_scheme), KH_SIGN_SCHEME);
    snprintf(file.kernel_name, sizeof(file.kernel_name), "python3");
    if (r == 0)
        r = kh_kernel_bind(kernel, &file, prefix, &bound, err);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), KH_DIR_CONNECTIONS "/kernel-%s%s.json", kernel->id,
             tcp ? "-tcp" : "");
    if (!kernel->file_path[kind]) {
        r = kh_connfile_write(bound, AT_FDCWD, path, err);
        if (r < 0)
            return r;
        kernel->file_path[kind] = kh_xstrdup(path);
    }
    snprintf(ret_path, PATH_MAX, "%s/%s", kernel->gateway->public_dir, path);
    return 0;
}

void
kh_kernel_unbind(struct kh_kernel *kernel)
{
    int kind;

    for (kind = 0; kind < KH_BINDS; kind++) {
        if (kernel->file_path[kind])
            unlinkat(AT_FDCWD, kernel->file_path[kind], 0);
        free(STEAL_PTR(kernel->file_path[kind]));
        if (kernel->file[kind])
            kh_connfile_wipe(kernel->file[kind]);
        free(STEAL_PTR(kernel->file[kind]));
    }
    drop_channels(kernel);
}
