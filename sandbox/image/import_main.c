/* kernelhost-import: reads a foreign image and writes its layers. Started by
 * kernelhost-image only, in namespaces of its own; see wire.h and jail.h. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/clean.h"
#include "base/fd.h"
#include "sandbox/image/fit.h"
#include "sandbox/image/jail.h"
#include "sandbox/image/manifest.h"
#include "sandbox/image/source.h"
#include "sandbox/image/stream.h"
#include "sandbox/image/unpack.h"

#define PROGRESS_NS 200000000ll
#define INDEXES_MAX 3 /* an index may name another one */

struct import {
    struct kh_source source;
    struct kh_import_limits limits;
    struct kh_import_tally tally;
    struct kh_wanted wanted;
    struct kh_view below; /* the layers that are done, top first */
    uint64_t streamed;
    uint32_t layer, layers;
    int64_t told; /* when progress was last told */
    char digest[KH_DIGEST_TEXT];
};

static int
tell(struct import *import, uint32_t kind, const char *text)
{
    struct kh_import_message message = {.kind = kind,
                                        .layer = import->layer,
                                        .layers = import->layers,
                                        .tally = import->tally};

    snprintf(message.text, sizeof(message.text), "%s", text);
    return kh_fd_send(import->source.link, &message, sizeof(message), -1);
}

static int
progress(void *arg, struct kh_error *err)
{
    struct import *import = arg;
    struct timespec now;
    int64_t ns;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ns = now.tv_sec * 1000000000ll + now.tv_nsec;
    if (ns - import->told < PROGRESS_NS)
        return 0;
    import->told = ns;
    return tell(import, KH_IMPORT_PROGRESS, "") < 0
               ? kh_fail(err, EPIPE, "kernelhost-image is gone")
               : 0;
}

/* An empty directory for the next layer, by the other side. */
static int
new_layer(struct import *import, struct kh_error *err)
{
    struct kh_import_message message;
    int dir = -1;

    if (tell(import, KH_IMPORT_LAYER, "") < 0 ||
        kh_fd_recv(import->source.link, &message, sizeof(message), &dir) !=
            sizeof(message) ||
        dir < 0)
        return kh_fail(err, EPIPE, "kernelhost-image is gone");
    return dir;
}

static void
put_on_top(struct kh_view *view, int layer)
{
    memmove(view->layer + 1, view->layer, sizeof(int) * (size_t)view->layers);
    view->layer[0] = layer;
    view->layers++;
}

static int
unpack_layer(struct import *import, const struct kh_blob *blob, const char *plain,
             struct kh_error *err)
{
    AUTO(kh_stream) struct kh_stream *stream = NULL;
    struct kh_unpack unpack = {.below = &import->below,
                               .limits = &import->limits,
                               .tally = &import->tally,
                               .progress = progress,
                               .arg = import};
    struct kh_input *input;
    struct archive *tar;
    int r = kh_source_open(&import->source, blob->name, &input, err);

    if (r < 0)
        return r;
    stream = kh_stream_new(input, &import->source, &import->streamed);
    r = kh_stream_tar(stream, &tar, err);
    if (r < 0)
        return r;
    unpack.root = new_layer(import, err);
    r = unpack.root < 0 ? unpack.root : 1;
    while (r > 0) {
        err->code = 0;
        r = kh_unpack_next(&unpack, tar, err);
    }
    if (r == -EIO && !err->code)
        r = kh_stream_fail(stream, tar, err);
    archive_read_free(tar);
    if (r == 0)
        r = kh_stream_end(stream, blob->digest, plain, err);
    if (r == 0) {
        put_on_top(&import->below, unpack.root);
        if (!*import->digest)
            snprintf(import->digest, sizeof(import->digest), "%s",
                     kh_stream_digest(stream));
    }
    return r;
}

/* From index.json, through indexes in it, to the manifest. */
static int
read_layout(struct import *import, struct kh_manifest *manifest, struct kh_error *err)
{
    struct kh_wanted wanted = import->wanted;
    struct kh_blob blob = {.name = "index.json"};
    bool nested = true;
    int depth, r = 0;

    for (depth = 0; r == 0 && depth <= INDEXES_MAX; depth++) {
        AUTO_FREE char *text = NULL;
        size_t size;

        r = kh_source_text(&import->source, blob.name, blob.digest, &text, &size, err);
        if (r < 0 || !nested) {
            if (r == 0) {
                snprintf(import->digest, sizeof(import->digest), "%s", blob.digest);
                r = kh_manifest_read(text, size, manifest, err);
            }
            return r;
        }
        r = kh_index_read(text, size, &wanted, &blob, &nested, err);
        wanted.ref = "";
    }
    return r < 0 ? r : kh_fail(err, ELOOP, "the index names indexes too deep");
}

static int
read_docker(struct import *import, struct kh_manifest *manifest, struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    size_t size;
    int r = kh_source_text(&import->source, "manifest.json", "", &text, &size, err);

    return r < 0 ? r : kh_docker_read(text, size, &import->wanted, manifest, err);
}

static int
read_manifest(struct import *import, struct kh_manifest *manifest,
              char plain[][KH_DIGEST_TEXT], struct kh_error *err)
{
    bool docker = import->source.kind == KH_SOURCE_DOCKER;
    AUTO_FREE char *text = NULL;
    size_t size;
    int r = docker ? read_docker(import, manifest, err)
                   : read_layout(import, manifest, err);

    if (r == 0)
        r = kh_source_text(&import->source, manifest->config.name,
                           manifest->config.digest, &text, &size, err);
    if (r == 0)
        r = kh_config_read(text, size, &import->wanted, manifest->layers, plain, err);
    if (r == 0 && docker) {
        AUTO(kh_digest) struct kh_digest *sum = kh_digest_new();

        /* Docker's id of an image is the digest of its config. */
        kh_digest_add(sum, text, size);
        kh_digest_text(sum, import->digest);
    }
    return r;
}

static int
fit(struct import *import, struct kh_error *err)
{
    struct kh_unpack unpack = {.below = &import->below,
                               .limits = &import->limits,
                               .tally = &import->tally,
                               .progress = progress,
                               .arg = import};

    unpack.root = new_layer(import, err);
    return unpack.root < 0 ? unpack.root : kh_fit(&unpack, err);
}

static int
run(struct import *import, struct kh_error *err)
{
    static struct kh_manifest manifest;
    static char plain[KH_IMPORT_LAYERS_MAX][KH_DIGEST_TEXT];
    int r = 0;

    manifest.layers = 1;
    if (import->source.kind != KH_SOURCE_ROOTFS)
        r = read_manifest(import, &manifest, plain, err);
    if (r == 0 && manifest.layers == 0)
        return kh_fail(err, EBADMSG, "the image has no layers");
    import->layers = manifest.layers;
    while (r == 0 && import->layer < import->layers) {
        r = unpack_layer(import, &manifest.layer[import->layer], plain[import->layer],
                         err);
        import->layer++;
        if (r < 0 && import->layers > 1)
            kh_fail_in(err, "layer %u of %u", import->layer, import->layers);
    }
    return r < 0 ? r : fit(import, err);
}

static const char *
architecture(void)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"riscv64", "riscv64"}};
    struct utsname machine;
    size_t i;

    uname(&machine);
    for (i = 0; i < KH_COUNT(names); i++)
        if (!strcmp(machine.machine, names[i][0]))
            return names[i][1];
    return "unknown";
}

/* Whatever libraries read from the host's files at their first use is read now. */
static void
warm_up(void)
{
    char text[KH_DIGEST_TEXT];
    struct kh_digest *sum = kh_digest_new();

    setlocale(LC_CTYPE, "C.UTF-8");
    kh_digest_text(sum, text);
    kh_digest_free(sum);
    tzset();
}

int
main(void)
{
    static struct import import = {.source = {.link = KH_IMPORT_FD, .file = -1}};
    static struct kh_import_message start;
    struct kh_error err = {0};
    int file = -1, r;

    if (kh_fd_recv(KH_IMPORT_FD, &start, sizeof(start), &file) != sizeof(start) ||
        start.kind != KH_IMPORT_START || (file >= 0 && file != KH_IMPORT_FD + 1)) {
        fputs("kernelhost-import: is started by kernelhost image import\n", stderr);
        return 1;
    }
    start.text[sizeof(start.text) - 1] = '\0';
    import.limits = start.limits;
    import.wanted = (struct kh_wanted){start.text, architecture()};
    import.below.opaque = KH_IMPORT_OPAQUE;
    warm_up();
    r = kh_jail_enter(&start.limits, &err);
    if (r == 0)
        r = kh_source_init(&import.source, KH_IMPORT_FD, file, &start.limits, &err);
    if (r == 0)
        r = run(&import, &err);
    if (r == 0)
        return tell(&import, KH_IMPORT_DONE, import.digest) < 0;
    start = (struct kh_import_message){.kind = KH_IMPORT_FAIL, .code = err.code};
    memcpy(start.text, err.text, sizeof(start.text));
    (void)kh_fd_send(KH_IMPORT_FD, &start, sizeof(start), -1);
    return 1;
}
