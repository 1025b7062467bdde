#include "sandbox/image/stream.h"

#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"

#define RATIO_FROM (256ull * 1024 * 1024)

struct kh_stream {
    struct kh_input *input;
    const struct kh_source *source;
    struct archive *plain; /* takes the compression off */
    struct kh_digest *packed_sum, *plain_sum;
    uint64_t *total;
    struct kh_error why; /* of a failure, which libarchive could not carry */
    char digest[KH_DIGEST_TEXT];
    char buffer[65536];
};

struct kh_stream *
kh_stream_new(struct kh_input *input, const struct kh_source *source, uint64_t *total)
{
    struct kh_stream *stream = kh_xcalloc(1, sizeof(*stream));

    stream->input = input;
    stream->source = source;
    stream->total = total;
    stream->packed_sum = kh_digest_new();
    stream->plain_sum = kh_digest_new();
    return stream;
}

void
kh_stream_free(struct kh_stream *stream)
{
    if (!stream)
        return;
    archive_read_free(stream->plain);
    kh_digest_free(stream->packed_sum);
    kh_digest_free(stream->plain_sum);
    kh_input_free(stream->input);
    free(stream);
}

static la_ssize_t
read_packed(struct archive *archive, void *arg, const void **ret_data)
{
    struct kh_stream *stream = arg;
    ssize_t n = kh_input_read(stream->input, ret_data, &stream->why);

    if (n < 0) {
        archive_set_error(archive, EIO, "%s", stream->why.text);
        return ARCHIVE_FATAL;
    }
    kh_digest_add(stream->packed_sum, *ret_data, (size_t)n);
    return n;
}

/* Bytes and ratio, before they go anywhere. */
static int
measure(struct kh_stream *stream, size_t size)
{
    const struct kh_source *source = stream->source;
    uint64_t total = *stream->total += size;

    /* A tar has a header for each entry, which is none of the files' bytes. */
    if (total > source->limits.bytes + source->limits.entries * 2048)
        return kh_fail(&stream->why, EFBIG,
                       "the image is larger than %llu bytes (hint: --max-size)",
                       (unsigned long long)source->limits.bytes);
    if (total > RATIO_FROM && total / source->limits.ratio > source->size)
        return kh_fail(&stream->why, EFBIG,
                       "the archive unpacks to more than %llu times its size: a bomb "
                       "(hint: if it is not, unpack it first)",
                       (unsigned long long)source->limits.ratio);
    return 0;
}

static la_ssize_t
read_plain(struct archive *archive, void *arg, const void **ret_data)
{
    struct kh_stream *stream = arg;
    la_ssize_t n =
        archive_read_data(stream->plain, stream->buffer, sizeof(stream->buffer));

    *ret_data = stream->buffer;
    if (n < 0 && !stream->why.code)
        kh_source_fail(stream->plain, "a layer cannot be uncompressed", &stream->why);
    if (n < 0 || measure(stream, (size_t)n) < 0) {
        archive_set_error(archive, EIO, "%s", stream->why.text);
        return ARCHIVE_FATAL;
    }
    kh_digest_add(stream->plain_sum, stream->buffer, (size_t)n);
    return n;
}

int
kh_stream_tar(struct kh_stream *stream, struct archive **ret_tar, struct kh_error *err)
{
    struct archive_entry *entry;
    struct archive *tar;
    int r;

    stream->plain = kh_source_reader();
    archive_read_support_format_raw(stream->plain);
    archive_read_support_format_empty(stream->plain);
    r = archive_read_open(stream->plain, stream, NULL, read_packed, NULL);
    if (r == ARCHIVE_OK)
        r = archive_read_next_header(stream->plain, &entry);
    if (r == ARCHIVE_EOF)
        return kh_fail(err, EBADMSG, "a layer is empty: not even a tar");
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return kh_stream_fail(stream, stream->plain, err);
    tar = archive_read_new();
    if (!tar)
        abort();
    archive_read_support_filter_none(tar);
    archive_read_support_format_tar(tar);
    if (archive_read_open(tar, stream, NULL, read_plain, NULL) != ARCHIVE_OK) {
        r = kh_stream_fail(stream, tar, err);
        archive_read_free(tar);
        return r;
    }
    *ret_tar = tar;
    return 0;
}

int
kh_stream_fail(struct kh_stream *stream, struct archive *tar, struct kh_error *err)
{
    if (!stream->why.code)
        return kh_source_fail(tar, "a layer is no tar, or a broken one", err);
    if (err)
        *err = stream->why;
    return -stream->why.code;
}

static int
compare(const char *what, const char *have, const char *want, struct kh_error *err)
{
    if (!*want || !strcmp(have, want))
        return 0;
    return kh_fail(err, EBADMSG,
                   "a layer is damaged: its %sdigest is %s, not %s (hint: fetch the "
                   "image again)",
                   what, have, want);
}

int
kh_stream_end(struct kh_stream *stream, const char *packed, const char *plain,
              struct kh_error *err)
{
    char have[KH_DIGEST_TEXT];
    const void *data;
    la_ssize_t n;
    int r;

    while ((n = read_plain(stream->plain, stream, &data)) > 0)
        ;
    while (n == 0 && (n = read_packed(stream->plain, stream, &data)) > 0)
        n = 0;
    if (n < 0)
        return kh_stream_fail(stream, stream->plain, err);
    kh_digest_text(stream->packed_sum, have);
    kh_digest_text(stream->plain_sum, stream->digest);
    r = compare("", have, packed, err);
    return r < 0 ? r : compare("plain ", stream->digest, plain, err);
}

const char *
kh_stream_digest(const struct kh_stream *stream)
{
    return stream->digest;
}
