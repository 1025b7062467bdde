#include "sandbox/image/source.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/image/manifest.h"
#include "sandbox/image/path.h"

#define BLOCK 65536

/* Only what is compiled into libarchive: a filter that would start a program is not
 * asked for (and could not, in here). */
struct archive *
kh_source_reader(void)
{
    struct archive *a = archive_read_new();

    if (!a)
        abort();
    archive_read_support_filter_none(a);
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_zstd(a);
    return a;
}

int
kh_source_fail(struct archive *archive, const char *what, struct kh_error *err)
{
    const char *why = archive_error_string(archive);
    char shown[KH_PATH_SHOWN];

    return kh_fail(err, archive_errno(archive) == ENOMEM ? ENOMEM : EBADMSG, "%s: %s",
                   what, why ? kh_path_show(why, shown) : "it is broken");
}

static void
archive_freep(struct archive **archive)
{
    archive_read_free(*archive);
}

/* The tar from its beginning. */
static int
open_tar(const struct kh_source *source, struct archive **ret, struct kh_error *err)
{
    struct archive *tar = kh_source_reader();
    int r;

    archive_read_support_format_tar(tar);
    archive_read_support_format_empty(tar);
    if (lseek(source->file, 0, SEEK_SET) < 0) {
        r = kh_fail_errno(err, "cannot read the archive");
    } else if (archive_read_open_fd(tar, source->file, BLOCK) != ARCHIVE_OK) {
        r = kh_source_fail(tar,
                           "cannot read the archive as a tar (gzip, zstd and xz "
                           "are understood)",
                           err);
    } else {
        *ret = tar;
        return 0;
    }
    archive_read_free(tar);
    return r;
}

/* The next entry; 0 at the end. Sizes are checked before libarchive skips over
 * them, which for a compressed tar means to unpack them. */
static int
next(const struct kh_source *source, struct archive *tar, struct archive_entry **ret,
     uint64_t *count, struct kh_error *err)
{
    int r = archive_read_next_header(tar, ret);

    if (r == ARCHIVE_EOF)
        return 0;
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return kh_source_fail(tar, "cannot read the archive", err);
    if (!archive_entry_pathname(*ret))
        return kh_fail(err, EBADMSG, "the archive has an entry without a name");
    if ((*count)++ >= source->limits.entries)
        return kh_fail(err, E2BIG,
                       "the archive has more than %llu entries (hint: "
                       "--max-entries)",
                       (unsigned long long)source->limits.entries);
    if (archive_entry_size(*ret) < 0 ||
        (uint64_t)archive_entry_size(*ret) > source->limits.bytes)
        return kh_fail(err, EFBIG,
                       "a file of the archive is larger than %llu bytes "
                       "(hint: --max-size)",
                       (unsigned long long)source->limits.bytes);
    return 1;
}

static int
detect(struct kh_source *source, struct kh_error *err)
{
    __attribute__((cleanup(archive_freep))) struct archive *tar = NULL;
    struct archive_entry *entry;
    bool docker = false, oci = false;
    uint64_t count = 0;
    int r = open_tar(source, &tar, err);

    source->kind = KH_SOURCE_ROOTFS;
    while (r >= 0 && (r = next(source, tar, &entry, &count, err)) > 0) {
        const char *name = archive_entry_pathname(entry);

        if (!kh_path_of_archive(name))
            return 0;
        docker = docker || !strcmp(name, "manifest.json");
        oci = oci || !strcmp(name, "index.json");
    }
    if (r == 0 && count == 0)
        return kh_fail(err, EBADMSG, "the archive is empty");
    if (docker || oci)
        source->kind = docker ? KH_SOURCE_DOCKER : KH_SOURCE_OCI;
    return r;
}

int
kh_source_init(struct kh_source *source, int link, int file,
               const struct kh_import_limits *limits, struct kh_error *err)
{
    struct stat st;

    *source = (struct kh_source){.link = link, .file = file, .limits = *limits};
    if (file < 0)
        return 0;
    if (fstat(file, &st) < 0)
        return kh_fail_errno(err, "cannot read the archive");
    source->size = (uint64_t)st.st_size;
    return detect(source, err);
}

/* ---- a layout: the other side opens ---- */

static int
ask(struct kh_source *source, const char *name, struct kh_input *input,
    struct kh_error *err)
{
    struct kh_import_message message = {.kind = KH_IMPORT_OPEN};
    struct stat st;
    ssize_t n;
    int r;

    snprintf(message.text, sizeof(message.text), "%s", name);
    r = kh_fd_send(source->link, &message, sizeof(message), -1);
    n = r < 0 ? r : kh_fd_recv(source->link, &message, sizeof(message), &input->fd);
    if (n != sizeof(message))
        return kh_fail(err, EPIPE, "kernelhost-image is gone");
    if (message.code || input->fd < 0)
        return kh_fail(err, ENOENT, "the layout has no file '%s'", name);
    if (fstat(input->fd, &st) == 0)
        source->size += (uint64_t)st.st_size;
    return 0;
}

/* ---- a tar: from the beginning up to the entry ---- */

/* Finds the entry of that name; a link's target goes to LINKED (else ""). */
static int
seek(const struct kh_source *source, struct archive *tar, const char *name,
     char linked[KH_PATH_MAX + 1], struct kh_error *err)
{
    struct archive_entry *entry;
    struct kh_path path;
    char own[KH_PATH_MAX + 1], shown[KH_PATH_SHOWN];
    uint64_t count = 0;
    const char *target;
    int r;

    *linked = '\0';
    while ((r = next(source, tar, &entry, &count, err)) > 0) {
        if (kh_path_read(archive_entry_pathname(entry), &path, NULL) < 0)
            continue;
        kh_path_whole(&path, own);
        if (strcmp(own, name) != 0)
            continue;
        target = archive_entry_symlink(entry);
        if (target)
            return kh_path_join(own, target, linked, err);
        target = archive_entry_hardlink(entry);
        if (target)
            return kh_path_join("x", target, linked, err);
        if (archive_entry_filetype(entry) == AE_IFREG)
            return 0;
    }
    return r < 0 ? r
                 : kh_fail(err, ENOENT, "the archive has no file '%s'",
                           kh_path_show(name, shown));
}

static int
find(struct kh_source *source, const char *name, struct kh_input *input,
     struct kh_error *err)
{
    char wanted[KH_PATH_MAX + 1], linked[KH_PATH_MAX + 1] = "";
    struct kh_path path;
    int r = kh_path_read(name, &path, err), links;

    if (r < 0)
        return r;
    kh_path_whole(&path, wanted);
    for (links = 0; links < 3; links++) {
        r = open_tar(source, &input->outer, err);
        if (r == 0)
            r = seek(source, input->outer, wanted, linked, err);
        if (r < 0 || !*linked)
            return r;
        archive_read_free(input->outer);
        input->outer = NULL;
        memcpy(wanted, linked, sizeof(wanted));
    }
    return kh_fail(err, ELOOP, "the archive's links for a layer do not end");
}

int
kh_source_open(struct kh_source *source, const char *name, struct kh_input **ret_input,
               struct kh_error *err)
{
    AUTO(kh_input) struct kh_input *input = kh_xcalloc(1, sizeof(*input));
    int r = 0;

    input->fd = -1;
    if (source->kind == KH_SOURCE_LAYOUT) {
        r = ask(source, name, input, err);
    } else if (source->kind != KH_SOURCE_ROOTFS) {
        r = find(source, name, input, err);
    } else {
        input->fd = fcntl(source->file, F_DUPFD_CLOEXEC, 0);
        if (input->fd < 0 || lseek(input->fd, 0, SEEK_SET) < 0)
            r = kh_fail_errno(err, "cannot read the archive");
    }
    if (r == 0)
        *ret_input = STEAL_PTR(input);
    return r;
}

ssize_t
kh_input_read(struct kh_input *input, const void **ret_data, struct kh_error *err)
{
    ssize_t n;

    *ret_data = input->buffer;
    if (input->outer) {
        n = archive_read_data(input->outer, input->buffer, sizeof(input->buffer));
        return n < 0 ? kh_source_fail(input->outer,
                                      "the archive is cut short or broken", err)
                     : n;
    }
    do
        n = read(input->fd, input->buffer, sizeof(input->buffer));
    while (n < 0 && errno == EINTR);
    return n < 0 ? kh_fail_errno(err, "cannot read the archive") : n;
}

void
kh_input_free(struct kh_input *input)
{
    if (!input)
        return;
    kh_fd_close(&input->fd);
    archive_read_free(input->outer);
    free(input);
}

int
kh_source_text(struct kh_source *source, const char *name, const char *digest,
               char **ret_text, size_t *ret_size, struct kh_error *err)
{
    AUTO(kh_input) struct kh_input *input = NULL;
    AUTO(kh_digest) struct kh_digest *sum = kh_digest_new();
    AUTO_FREE char *text = kh_xcalloc(1, 1);
    char have[KH_DIGEST_TEXT], shown[KH_PATH_SHOWN];
    const void *data;
    size_t size = 0;
    ssize_t n;
    int r = kh_source_open(source, name, &input, err);

    if (r < 0)
        return r;
    while ((n = kh_input_read(input, &data, err)) > 0) {
        if (size + (size_t)n > KH_JSON_MAX)
            return kh_fail(err, EFBIG, "'%s' is larger than %u bytes",
                           kh_path_show(name, shown), KH_JSON_MAX);
        text = kh_xrealloc(text, size + (size_t)n + 1);
        memcpy(text + size, data, (size_t)n);
        size += (size_t)n;
        kh_digest_add(sum, data, (size_t)n);
    }
    if (n < 0)
        return (int)n;
    kh_digest_text(sum, have);
    if (*digest && strcmp(have, digest) != 0)
        return kh_fail(err, EBADMSG, "'%s' is damaged: its digest is %s",
                       kh_path_show(name, shown), have);
    text[size] = '\0';
    *ret_text = STEAL_PTR(text);
    *ret_size = size;
    return 0;
}
