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
#include "kernelhost/gateway/rebind.h"
#include "kernelhost/gateway/room.h"
#include "protocol/jupyter/reply.h"

static void
on_request(void *arg, enum kh_channel channel, const struct kh_wire *wire,
           const struct kh_route_mark *from)
{
    kh_route(arg, channel, wire, from);
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
    kh_kernel_recover_look(kernel);
}

static void
on_joined(void *arg)
{
    kh_kernel_recover_look(arg);
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
                                        .joined = on_joined,
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
    kernel->channels = kh_channels_new(
        kernel->gateway->loop, kernel->gateway->heart, kernel->id,
        file->signature_scheme, kh_slice_text(file->key), kernel->gateway->ledger,
        kh_ledger_index(kernel->gateway->ledger, kernel->note), &events, err);
    if (!kernel->channels)
        return -err->code;
    kh_channels_told(kernel->channels, kernel->note->published);
    return 0;
}

static void
drop_channels(struct kh_kernel *kernel)
{
    kh_channels_free(STEAL_PTR(kernel->channels));
    kernel->crowded = false;
}

static void
save(struct kh_kernel *kernel, enum kh_bind kind)
{
    struct kh_row_binding row = {.file = *kernel->file[kind],
                                 .published = kernel->file_path[kind] != NULL};

    memcpy(row.kernel, kernel->id, sizeof(row.kernel));
    memcpy(row.prefix, kernel->prefix[kind], sizeof(row.prefix));
    kh_database_put_binding(kernel->gateway->database, &row);
    kh_connfile_wipe(&row.file);
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
        snprintf(kernel->prefix[kind], sizeof(kernel->prefix[kind]), "%s", bind_prefix);
        kernel->warm = false;
        save(kernel, kind);
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

/* Writes the connection file of what is bound. */
static int
publish(struct kh_kernel *kernel, enum kh_bind kind, struct kh_error *err)
{
    char path[96];
    int r;

    if (kernel->file_path[kind])
        return 0;
    snprintf(path, sizeof(path), KH_DIR_CONNECTIONS "/kernel-%s%s.json", kernel->id,
             kind == KH_BIND_TCP ? "-tcp" : "");
    r = kh_connfile_write(kernel->file[kind], AT_FDCWD, path, err);
    if (r < 0)
        return r;
    kernel->file_path[kind] = kh_xstrdup(path);
    save(kernel, kind);
    return 0;
}

int
kh_kernel_connect(struct kh_kernel *kernel, bool tcp, const char *ip, char *ret_path,
                  struct kh_error *err)
{
    enum kh_bind kind = tcp ? KH_BIND_TCP : KH_BIND_IPC;
    struct kh_connfile file = {0};
    const struct kh_connfile *bound = NULL;
    char prefix[KH_PREFIX_SIZE] = "";
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
    r = publish(kernel, kind, err);
    if (r < 0)
        return r;
    snprintf(ret_path, PATH_MAX, "%s/%s", kernel->gateway->public_dir,
             kernel->file_path[kind]);
    return 0;
}

int
kh_kernel_bind_again(struct kh_kernel *kernel, const struct kh_row_binding *row,
                     struct kh_error *err)
{
    struct kh_connfile file = row->file;
    const struct kh_connfile *bound;
    int r;

    /* The state directory may have moved. */
    if (kh_connfile_is_ipc(&file) &&
        (size_t)snprintf(file.ip, sizeof(file.ip), "%s/%s", kernel->gateway->public_dir,
                         row->prefix) >= sizeof(file.ip))
        r = kh_fail(err, ENAMETOOLONG, "the path of the sockets is too long");
    else
        r = kh_kernel_bind(kernel, &file, row->prefix, &bound, err);
    if (r == 0 && row->published)
        r = publish(kernel, kh_connfile_is_ipc(&file) ? KH_BIND_IPC : KH_BIND_TCP, err);
    kh_connfile_wipe(&file);
    return r;
}

void
kh_kernel_unbind(struct kh_kernel *kernel)
{
    int kind;

    for (kind = 0; kind < KH_BINDS; kind++) {
        if (kernel->file_path[kind] && !kernel->gateway->leaving)
            unlinkat(AT_FDCWD, kernel->file_path[kind], 0);
        free(STEAL_PTR(kernel->file_path[kind]));
        if (kernel->file[kind])
            kh_connfile_wipe(kernel->file[kind]);
        free(STEAL_PTR(kernel->file[kind]));
    }
    kh_rebind_free(STEAL_PTR(kernel->rebind));
    drop_channels(kernel);
}
