/* stream: the uncompressed bytes of one layer, measured.
 *
 * Two readers of libarchive stand in a row: this one takes the compression off, so
 * that the digest of the plain tar can be had (OCI's diff_id) and a bomb is stopped
 * by what comes out of it; the one above it reads the tar. Runs in the helper. */
#ifndef KH_IMAGE_STREAM_H
#define KH_IMAGE_STREAM_H

#include "sandbox/image/digest.h"
#include "sandbox/image/source.h"

struct kh_stream;

/* Takes INPUT over. *TOTAL counts the bytes of all streams of one import. */
struct kh_stream *kh_stream_new(struct kh_input *input, const struct kh_source *source,
                                uint64_t *total);
void kh_stream_free(struct kh_stream *stream);
KH_DEFINE_CLEANUP(kh_stream)

/* Opens TAR (a fresh reader) on the stream. */
int kh_stream_tar(struct kh_stream *stream, struct archive **ret_tar,
                  struct kh_error *err);

/* Why reading TAR failed: the stream's own reason, or libarchive's. */
int kh_stream_fail(struct kh_stream *stream, struct archive *tar, struct kh_error *err);

/* Reads what is left (a tar ends before its file does) and checks both digests;
 * "" is not checked. */
int kh_stream_end(struct kh_stream *stream, const char *packed, const char *plain,
                  struct kh_error *err);

/* The digest of the plain tar; valid after kh_stream_end. */
const char *kh_stream_digest(const struct kh_stream *stream);

#endif
