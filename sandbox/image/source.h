/* source: the named files of what is imported, whatever it is.
 *
 * An OCI layout directory (each file is asked for, wire.h), a tar that holds such
 * files by name (docker save, an OCI archive), or a root filesystem, which is one
 * nameless file. Runs in the confined helper. */
#ifndef KH_IMAGE_SOURCE_H
#define KH_IMAGE_SOURCE_H

#include <archive.h>
#include <stdint.h>

#include "base/clean.h"
#include "base/error.h"
#include "sandbox/image/wire.h"

enum kh_source_kind {
    KH_SOURCE_LAYOUT, /* a directory */
    KH_SOURCE_ROOTFS, /* a tar of a root filesystem */
    KH_SOURCE_DOCKER, /* a tar with manifest.json */
    KH_SOURCE_OCI,    /* a tar with index.json */
};

struct kh_source {
    enum kh_source_kind kind;
    int link; /* to kernelhost-image */
    int file; /* the tar, or -1 */
    struct kh_import_limits limits;
    uint64_t size; /* bytes of the files that were opened: what ratios compare with */
};

/* One file of it, to be read from its beginning. */
struct kh_input {
    int fd;                /* a file of its own, or -1 */
    struct archive *outer; /* or the tar that it lies in, at its entry */
    char buffer[65536];
};

/* Looks what FILE (a descriptor, or -1 for a layout) is. */
int kh_source_init(struct kh_source *source, int link, int file,
                   const struct kh_import_limits *limits, struct kh_error *err);

/* Opens the file NAME (not looked at for a root filesystem). -ENOENT. */
int kh_source_open(struct kh_source *source, const char *name,
                   struct kh_input **ret_input, struct kh_error *err);

/* The next bytes; 0 at the end; -EBADMSG when the archive around it is broken. */
ssize_t kh_input_read(struct kh_input *input, const void **ret_data,
                      struct kh_error *err);
void kh_input_free(struct kh_input *input);
KH_DEFINE_CLEANUP(kh_input)

/* A whole small file; its digest is compared with DIGEST unless that is "". The
 * caller frees *ret_text. */
int kh_source_text(struct kh_source *source, const char *name, const char *digest,
                   char **ret_text, size_t *ret_size, struct kh_error *err);

/* An archive reader for one of the compressions that are supported. */
struct archive *kh_source_reader(void);

/* What libarchive says of a failure, for a message: printable and short. */
int kh_source_fail(struct archive *archive, const char *what, struct kh_error *err);

#endif
