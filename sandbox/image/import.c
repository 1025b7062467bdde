#include "sandbox/image/import.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/image/below.h"
#include "sandbox/image/digest.h"
#include "sandbox/image/helper.h"
#include "sandbox/image/progress.h"
#include "sandbox/image/seal.h"

struct import {
    struct kh_shelf *shelf;
    const struct kh_import_plan *plan;
    struct kh_helper helper;
    int source; /* the archive, or the layout's directory */
    bool layout;
    char temp[KH_IMPORT_LAYERS_MAX + 1][KH_SHELF_TEMP]; /* base first */
    int dir[KH_IMPORT_LAYERS_MAX + 1];
    unsigned temps;
    struct kh_sealed sealed[KH_IMPORT_LAYERS_MAX + 1];
    struct kh_import_result result;
};

static time_t deadline;

static time_t
now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static int
go_on(struct kh_error *err)
{
    if (kh_progress_stopped())
        return kh_fail(err, EINTR, "interrupted; nothing was imported");
    return now() < deadline
               ? 0
               : kh_fail(err, ETIMEDOUT, "the import takes too long (hint: --timeout)");
}

static int
answer(struct import *import, struct kh_import_message *message, int pass,
       struct kh_error *err)
{
    int r = kh_fd_send(import->helper.link, message, sizeof(*message), pass);

    return r < 0 ? kh_fail(err, -r, "the helper is gone") : 0;
}

/* ---- what the helper asks for ---- */

/* A file of the layout: named by a fixed grammar, opened through no link. */
static int
on_open(struct import *import, struct kh_import_message *message, struct kh_error *err)
{
    AUTO_FD int file = -1;
    struct stat st;

    if (!import->layout || !kh_path_of_layout(message->text))
        return kh_fail(err, EBADMSG, "the helper asks for what there cannot be");
    file = kh_below_open(import->source, message->text,
                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    message->code = file < 0 ? errno : 0;
    if (file >= 0 && (fstat(file, &st) < 0 || !S_ISREG(st.st_mode)))
        message->code = EINVAL;
    return answer(import, message, message->code ? -1 : file, err);
}

static int
on_layer(struct import *import, struct kh_import_message *message, struct kh_error *err)
{
    unsigned i = import->temps;
    AUTO_FD int view = -1;

    if (i > KH_IMPORT_LAYERS_MAX)
        return kh_fail(err, EBADMSG, "the helper asks for too many layers");
    import->dir[i] = kh_shelf_temp(import->shelf, import->temp[i], err);
    if (import->dir[i] < 0)
        return import->dir[i];
    import->temps++;
    view = kh_helper_view(&import->helper, import->dir[i], err);
    return view < 0 ? view : answer(import, message, view, err);
}

static int
on_progress(struct import *import, struct kh_import_message *message,
            struct kh_error *err)
{
    (void)import;
    (void)err;
    kh_progress("layer %u of %u: %llu entries, %llu MiB", message->layer + 1,
                message->layers, (unsigned long long)message->tally.entries,
                (unsigned long long)message->tally.bytes >> 20);
    return 0;
}

static int
on_done(struct import *import, struct kh_import_message *message, struct kh_error *err)
{
    if (!import->temps)
        return kh_fail(err, EBADMSG, "the helper made no layer");
    import->result.tally = message->tally;
    if (strlen(message->text) == sizeof(import->result.digest) - 1 &&
        !strncmp(message->text, "sha256:", 7) &&
        strspn(message->text + 7, "0123456789abcdef") == 64)
        memcpy(import->result.digest, message->text, sizeof(import->result.digest));
    return 1;
}

static int
on_fail(struct import *import, struct kh_import_message *message, struct kh_error *err)
{
    char shown[KH_ERROR_TEXT_MAX];

    (void)import;
    kh_log_clean(message->text, strlen(message->text), shown, sizeof(shown));
    return kh_fail(err, message->code > 0 ? message->code : EIO, "%s", shown);
}

static int (*const handlers[KH_IMPORT_KINDS])(struct import *,
                                              struct kh_import_message *,
                                              struct kh_error *) = {
    [KH_IMPORT_OPEN] = on_open,         [KH_IMPORT_LAYER] = on_layer,
    [KH_IMPORT_PROGRESS] = on_progress, [KH_IMPORT_DONE] = on_done,
    [KH_IMPORT_FAIL] = on_fail,
};

/* One message. Returns 1 when the helper is done. */
static int
serve(struct import *import, struct kh_error *err)
{
    struct pollfd poller = {.fd = import->helper.link, .events = POLLIN};
    struct kh_import_message message;
    int r = poll(&poller, 1, 200), pass = -1;
    ssize_t n;

    if (go_on(err) < 0)
        return -err->code;
    if (r <= 0)
        return r < 0 && errno != EINTR ? kh_fail_errno(err, "cannot wait") : 0;
    n = kh_fd_recv(import->helper.link, &message, sizeof(message), &pass);
    if (pass >= 0)
        close(pass);
    if (n <= 0)
        return kh_fail(err, EIO,
                       "kernelhost-import ended without a word (hint: it is stopped at "
                       "%llu s of processor time, --timeout, and at 1 GiB of memory; "
                       "libarchive must be installed)",
                       (unsigned long long)import->plan->limits.seconds);
    if (n != sizeof(message) || message.kind >= KH_IMPORT_KINDS ||
        !handlers[message.kind] || !memchr(message.text, 0, sizeof(message.text)))
        return kh_fail(err, EBADMSG, "kernelhost-import sent what there cannot be");
    return handlers[message.kind](import, &message, err);
}

/* ---- the archive ---- */

static int
open_source(struct import *import, struct kh_error *err)
{
    const char *path = import->plan->path;
    struct stat st;

    import->source = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (import->source < 0 || fstat(import->source, &st) < 0)
        return kh_fail_errno(err, "cannot open '%s'", path);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return kh_fail(err, EINVAL,
                       "'%s' is neither a file nor a directory (hint: put "
                       "the archive into a file)",
                       path);
    import->layout = S_ISDIR(st.st_mode);
    if (import->layout && faccessat(import->source, "index.json", F_OK, 0) < 0)
        return kh_fail(err, ENOENT,
                       "'%s' is no OCI layout: it has no index.json (hint: skopeo copy "
                       "... oci:DIR; a root filesystem is imported as a tar)",
                       path);
    return 0;
}

static int
read_archive(struct import *import, struct kh_error *err)
{
    struct kh_import_message start = {.kind = KH_IMPORT_START,
                                      .archive = !import->layout,
                                      .limits = import->plan->limits};
    int r = kh_helper_start(&import->helper, err);

    if (r < 0)
        return r;
    snprintf(start.text, sizeof(start.text), "%s", import->plan->ref);
    r = answer(import, &start, import->layout ? -1 : import->source, err);
    while (r == 0)
        r = serve(import, err);
    kh_helper_end(&import->helper);
    return r < 0 ? r : 0;
}

/* ---- into the store ---- */

/* A layer that is there twice shows at its upper place only. */
static void
add_layer(struct kh_shelf_image *image, const char *id)
{
    unsigned i, kept = 0;

    for (i = 0; i < image->layers; i++)
        if (strcmp(image->layer[i], id) != 0)
            memmove(image->layer[kept++], image->layer[i], KH_ID_TEXT);
    memmove(image->layer + 1, image->layer, kept * sizeof(image->layer[0]));
    memcpy(image->layer[0], id, KH_ID_TEXT);
    image->layers = kept + 1;
}

static int
seal(struct import *import, unsigned i, struct kh_error *err)
{
    int r;

    kh_progress("checking layer %u of %u", i + 1, import->temps);
    r = kh_seal(import->dir[i], go_on, &import->sealed[i], err);
    kh_fd_close(&import->dir[i]);
    return r;
}

static int
keep(struct import *import, unsigned i, struct kh_error *err)
{
    const struct kh_sealed *sealed = &import->sealed[i];
    bool shared = false;
    int r;

    if (sealed->entries == 0) /* a layer of metadata only */
        r = kh_shelf_remove_tree(import->shelf->layers, import->temp[i], err);
    else
        r = kh_shelf_keep(import->shelf, import->temp[i], sealed->id, &shared, err);
    if (r < 0)
        return r;
    import->temp[i][0] = '\0';
    if (sealed->entries)
        add_layer(&import->result.image, sealed->id);
    import->result.shared += shared;
    return 0;
}

static int
keep_all(struct import *import, struct kh_error *err)
{
    AUTO_FREE char *info = NULL;
    unsigned i;
    int r = 0;

    for (i = 0; r == 0 && i < import->temps; i++)
        r = seal(import, i, err);
    if (r == 0)
        r = kh_shelf_sync(import->shelf, err);
    for (i = 0; r == 0 && i < import->temps; i++)
        r = keep(import, i, err);
    if (r == 0 && !import->result.image.layers)
        r = kh_fail(err, EBADMSG, "the image is empty");
    if (r < 0)
        return r;
    info = kh_xasprintf("source import\ncreated %lld\ndigest %s\n",
                        (long long)time(NULL), import->result.digest);
    return kh_shelf_register(import->shelf, import->plan->name, &import->result.image,
                             info, err);
}

int
kh_import(struct kh_shelf *shelf, const struct kh_import_plan *plan,
          struct kh_import_result *ret_result, struct kh_error *err)
{
    static struct import import;
    unsigned i;
    int r;

    import = (struct import){.shelf = shelf, .plan = plan, .source = -1};
    deadline = now() + (time_t)plan->limits.seconds;
    r = open_source(&import, err);
    if (r == 0)
        r = read_archive(&import, err);
    if (r == 0)
        r = keep_all(&import, err);
    kh_fd_close(&import.source);
    for (i = 0; i < import.temps; i++) {
        kh_fd_close(&import.dir[i]);
        if (import.temp[i][0])
            (void)kh_shelf_remove_tree(shelf->layers, import.temp[i], NULL);
    }
    if (r == 0)
        *ret_result = import.result;
    return r;
}
