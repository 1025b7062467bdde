/* kernelhost-snapshot: what `kernelhost snapshot export` and `import` run, as root,
 * beside a host that runs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/archive/key.h"
#include "sandbox/archive/pack.h"
#include "sandbox/archive/parse.h"
#include "sandbox/archive/place.h"
#include "sandbox/archive/unpack.h"
#include "sandbox/host/image.h"
#include "sandbox/image/command.h"
#include "sandbox/image/progress.h"

/* The values of --NAME=VALUE, in the order of the table. */
enum value { V_STATE, V_KEY, V_IMAGE, V_MAX_SIZE, V_COUNT };

static const char *const value_names[V_COUNT] = {[V_STATE] = "state",
                                                 [V_KEY] = "key",
                                                 [V_IMAGE] = "image",
                                                 [V_MAX_SIZE] = "max-size"};

struct call {
    const char *value[V_COUNT]; /* NULL: not given */
    char **word;
    int words;
};

static int
read_key(const struct call *call, const struct kh_place *place,
         uint8_t key[KH_ENVELOPE_KEY], struct kh_error *err)
{
    return call->value[V_KEY] ? kh_key_read(AT_FDCWD, call->value[V_KEY], key, err)
                              : kh_key_own(place->state, key, err);
}

static int
go_on(struct kh_error *err)
{
    return kh_progress_stopped() ? kh_fail(err, EINTR, "interrupted") : 0;
}

/* ---- export ---- */

static int
packed(const struct kh_pack_tally *tally, struct kh_error *err)
{
    if (tally->entries % 256 == 0)
        kh_progress("exporting: %" PRIu64 " files, %" PRIu64 " MiB", tally->entries,
                    tally->bytes >> 20);
    return go_on(err);
}

static int
put(void *arg, const void *data, size_t size, struct kh_error *err)
{
    return kh_envelope_put(arg, data, size, err);
}

static int
write_archive(const struct kh_place *place, const struct kh_snapshot_record *record,
              uint8_t *key, int file, struct kh_pack_tally *tally, struct kh_error *err)
{
    AUTO(kh_envelope) struct kh_envelope *envelope = NULL;
    struct kh_archive_info info = {.created = record->created};
    char id[KH_ID_TEXT], path[KH_ID_TEXT + 8];
    AUTO_FD int top = -1;
    int r;

    memcpy(info.name, record->name, sizeof(info.name));
    memcpy(info.sandbox, record->sandbox, sizeof(info.sandbox));
    memcpy(info.image, record->image, sizeof(info.image));
    memcpy(info.image_id, record->image_id, sizeof(info.image_id));
    kh_id_text(record->id, id);
    snprintf(path, sizeof(path), "%s/upper", id);
    top = openat(place->disk, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return kh_fail_errno(err, "cannot open the files of '%s'", record->name);
    r = kh_envelope_begin(file, key, &envelope, err);
    OPENSSL_cleanse(key, KH_ENVELOPE_KEY);
    if (r == 0)
        r = kh_pack(top, &info, put, envelope, packed, tally, err);
    return r < 0 ? r : kh_envelope_end(envelope, err);
}

/* Under its name from the beginning, so that nothing else can take it; without its
 * last block it is no archive. */
static int
open_new(const char *path, struct kh_error *err)
{
    int fd = strcmp(path, "-") == 0
                 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return fd < 0 ? kh_fail_errno(err, "cannot make '%s'", path) : fd;
}

static int
do_export(const struct call *call, const struct kh_place *place, struct kh_error *err)
{
    const char *path = call->word[1];
    struct kh_snapshot_record record;
    uint8_t key[KH_ENVELOPE_KEY];
    struct kh_pack_tally tally = {0};
    AUTO_FD int file = -1;
    int r = kh_place_find(place, call->word[0], &record, err);

    if (r == 0)
        r = read_key(call, place, key, err);
    if (r < 0)
        return r;
    file = open_new(path, err);
    if (file < 0)
        return file;
    r = write_archive(place, &record, key, file, &tally, err);
    if (r == 0 && strcmp(path, "-") != 0 && fsync(file) < 0)
        r = kh_fail_errno(err, "cannot write '%s'", path);
    kh_progress_clear();
    if (r < 0 && strcmp(path, "-") != 0)
        (void)unlink(path);
    if (r == 0)
        fprintf(stderr, "%" PRIu64 " files, %" PRIu64 " bytes of them\n", tally.entries,
                tally.bytes);
    return r < 0 ? kh_fail_in(err, "cannot export '%s'", record.name) : 0;
}

/* ---- import ---- */

static int
open_archive(const char *path, struct kh_error *err)
{
    int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                    : open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? kh_fail_errno(err, "cannot open '%s'", path) : fd;
}

/* Of a file the whole is looked at before anything is done with the first byte. From a
 * pipe each block is, before it is handed on. */
static int
check_all(int file, const uint8_t *key, struct kh_error *err)
{
    AUTO(kh_envelope) struct kh_envelope *envelope = NULL;
    uint64_t seen = 0;
    const void *data;
    struct stat st;
    size_t size;
    int r;

    if (fstat(file, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    r = kh_envelope_open(file, key, &envelope, err);
    while (r == 0 && (r = kh_envelope_get(envelope, &data, &size, err)) > 0) {
        seen += size;
        if ((seen >> 16) % 64 == 0)
            kh_progress("checking: %" PRIu64 " MiB", seen >> 20);
        r = go_on(err);
    }
    if (r == 0 && lseek(file, 0, SEEK_SET) < 0)
        r = kh_fail_errno(err, "cannot go back to the beginning");
    return r;
}

/* The image that the archive names must be here, the same to the byte; or another is
 * taken on purpose. */
static int
find_image(const struct call *call, const struct kh_place *place,
           const struct kh_archive_info *info, struct kh_snapshot_record *record,
           struct kh_error *err)
{
    const struct kh_store store = {.images = place->images};
    const char *image = call->value[V_IMAGE];
    char path[KH_ID_TEXT + 8];

    memcpy(record->image, info->image, sizeof(record->image));
    memcpy(record->image_id, info->image_id, sizeof(record->image_id));
    if (image) {
        char name[KH_IMAGE_NAME_SIZE] = "";

        snprintf(name, sizeof(name), "%s", image);
        if (strlen(image) >= sizeof(name) || !kh_image_name_valid(name))
            return kh_fail(err, EINVAL,
                           "that is no image name (hint: kernelhost image "
                           "ls)");
        memcpy(record->image, name, sizeof(record->image));
        return kh_image_find(&store, name, record->image_id, err);
    }
    snprintf(path, sizeof(path), "id/%s", info->image_id);
    if (faccessat(place->images, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return kh_fail(
        err, ENOENT,
        "its files lie on the image '%s' (%s), which is not here (hint: import "
        "or build that, or take another with --image)",
        info->image, info->image_id);
}

static int
describe(const struct call *call, const struct kh_place *place,
         const struct kh_archive_info *info, struct kh_snapshot_record *record,
         struct kh_error *err)
{
    char name[KH_NAME_SIZE] = "";

    if (call->words > 1)
        snprintf(name, sizeof(name), "%s", call->word[1]);
    else
        memcpy(name, info->name, sizeof(name));
    if ((call->words > 1 && strlen(call->word[1]) >= sizeof(name)) ||
        !kh_name_valid(name))
        return kh_fail(err, EINVAL, "a snapshot name has " KH_NAME_RULE);
    memcpy(record->name, name, sizeof(record->name));
    memcpy(record->sandbox, info->sandbox, sizeof(record->sandbox));
    record->created = info->created;
    return find_image(call, place, info, record, err);
}

/* Hands on what was checked. A child that ends early says why in its result. */
static int
feed(struct kh_envelope *envelope, const void *data, size_t size, int pipe,
     struct kh_error *err)
{
    uint64_t seen = 0;
    int r = 1;

    while (r > 0) {
        r = kh_fd_write_full(pipe, data, size);
        if (r == -EPIPE)
            return 0;
        if (r < 0)
            return kh_fail(err, -r, "cannot hand on the archive: %s", strerror(-r));
        seen += size;
        if ((seen >> 16) % 64 == 0)
            kh_progress("unpacking: %" PRIu64 " MiB", seen >> 20);
        r = go_on(err);
        if (r == 0)
            r = kh_envelope_get(envelope, &data, &size, err);
    }
    return r;
}

static int
unpack(struct kh_envelope *envelope, const void *data, size_t size, int disk,
       struct kh_error *err)
{
    struct kh_unpack_result result = {0};
    int pipe = -1, told = -1, r;
    pid_t pid = 0;

    r = kh_unpack_start(disk, &pid, &pipe, &told, err);
    if (r < 0)
        return r;
    r = feed(envelope, data, size, pipe, err);
    if (r < 0)
        kill(pid, SIGKILL);
    kh_fd_close(&pipe);
    if (r == 0 && kh_fd_read_full(told, &result, sizeof(result)) < 0)
        r = kh_fail(err, EIO, "the process that unpacks was killed");
    kh_fd_close(&told);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r < 0 ? r : kh_unpack_judge(&result, err);
}

/* Whom this is for makes a snapshot of it; when that cannot know, nobody will. */
static int
tell(const char *id, struct kh_error *err)
{
    int r = go_on(err);

    kh_progress_clear();
    if (r == 0 && (printf("%s\n", id) < 0 || fflush(stdout) != 0))
        r = kh_fail_errno(err, "cannot tell the id of what was unpacked");
    return r;
}

static int
import(const struct call *call, const struct kh_place *place, int file, uint8_t *key,
       struct kh_import *import, struct kh_error *err)
{
    const char *most = call->value[V_MAX_SIZE];
    AUTO(kh_envelope) struct kh_envelope *envelope = NULL;
    struct kh_snapshot_record record = {.created = 0};
    struct kh_archive_info info;
    const void *data = NULL;
    size_t size = 0;
    int r = kh_envelope_open(file, key, &envelope, err);

    OPENSSL_cleanse(key, KH_ENVELOPE_KEY);
    if (r == 0)
        r = kh_envelope_get(envelope, &data, &size, err);
    if (r >= 0)
        r = kh_archive_parse_info(data, size, &info, err);
    if (r == 0)
        r = describe(call, place, &info, &record, err);
    if (r == 0)
        r = kh_import_begin(place, most ? strtoull(most, NULL, 10) : KH_DISK_DEFAULT,
                            import, err);
    if (r < 0)
        return r;
    memcpy(record.id, import->record.id, sizeof(record.id));
    import->record = record;
    r = unpack(envelope, data, size, import->disk, err);
    if (r == 0)
        r = kh_import_finish(place, import, err);
    if (r == 0)
        r = tell(import->id, err);
    kh_fd_close(&import->disk);
    if (r < 0)
        kh_import_undo(place, import->id);
    return r;
}

/* Prints the id under which it waits to become a snapshot. */
static int
do_import(const struct call *call, const struct kh_place *place, struct kh_error *err)
{
    uint8_t key[KH_ENVELOPE_KEY];
    AUTO_FD int file = open_archive(call->word[0], err);
    struct kh_import made = {.disk = -1};
    int r = file < 0 ? file : read_key(call, place, key, err);

    if (r == 0)
        r = check_all(file, key, err);
    if (r == 0)
        r = import(call, place, file, key, &made, err);
    kh_progress_clear();
    return r < 0 ? kh_fail_in(err, "cannot import '%s'", call->word[0]) : 0;
}

/* Nobody wants it any more. */
static int
do_discard(const struct call *call, const struct kh_place *place, struct kh_error *err)
{
    if (!kh_id_text_valid(call->word[0]))
        return kh_fail(err, EINVAL, "that is no id");
    kh_import_undo(place, call->word[0]);
    return 0;
}

static const struct {
    const char *name;
    int words; /* at least */
    int (*run)(const struct call *, const struct kh_place *, struct kh_error *);
} commands[] = {
    {"export", 2, do_export}, {"import", 1, do_import}, {"discard", 1, do_discard}};

int
main(int argc, char **argv)
{
    struct call call = {.words = 0};
    struct kh_error err = {0};
    struct kh_place place;
    int at = 1, r;
    size_t i;

    while (at < argc && !strncmp(argv[at], "--", 2) &&
           kh_command_value(argv[at], value_names, V_COUNT, call.value) == 0)
        at++;
    call.words = argc - at - 1;
    for (i = 0; i < KH_COUNT(commands); i++)
        if (at < argc && !strcmp(argv[at], commands[i].name) &&
            call.words >= commands[i].words)
            break;
    if (i == KH_COUNT(commands) || !call.value[V_STATE]) {
        fputs("kernelhost-snapshot: is started by kernelhost snapshot\n", stderr);
        return 2;
    }
    call.word = argv + at + 1;
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    kh_progress_open();
    r = kh_place_open(call.value[V_STATE], &place, &err);
    if (r == 0) {
        r = commands[i].run(&call, &place, &err);
        kh_place_close(&place);
    }
    if (r == 0)
        return 0;
    kh_progress_clear();
    fprintf(stderr, "kernelhost: %s\n", err.text);
    return kh_command_status(err.code);
}
