/* manifest: the JSON of OCI layouts and docker archives, as structs. Pure.
 *
 * It runs in the confined helper: the bytes are foreign. What is not understood is
 * ignored, what is needed is checked; a name from here is only ever looked up in the
 * archive that it came from. */
#ifndef KH_IMAGE_MANIFEST_H
#define KH_IMAGE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/image/digest.h"
#include "sandbox/image/wire.h"

#define KH_JSON_MAX (4u * 1024 * 1024) /* bytes of one document */

struct kh_blob {
    char name[256];              /* in the archive or layout */
    char digest[KH_DIGEST_TEXT]; /* of its bytes; "" when none is told */
};

struct kh_manifest {
    struct kh_blob config;
    struct kh_blob layer[KH_IMPORT_LAYERS_MAX]; /* base first */
    unsigned layers;
};

/* Which image is wanted: its name where there are several ("" for the only one),
 * and the processor, as OCI calls it. */
struct kh_wanted {
    const char *ref;
    const char *architecture;
};

/* Picks one manifest out of an OCI index. *RET_NESTED: it is an index again. -ENOENT
 * lists the names there are. */
int kh_index_read(const char *text, size_t size, const struct kh_wanted *wanted,
                  struct kh_blob *ret_blob, bool *ret_nested, struct kh_error *err);

/* An OCI image manifest, or one of Docker's second schema. */
int kh_manifest_read(const char *text, size_t size, struct kh_manifest *ret_manifest,
                     struct kh_error *err);

/* manifest.json of `docker save`. */
int kh_docker_read(const char *text, size_t size, const struct kh_wanted *wanted,
                   struct kh_manifest *ret_manifest, struct kh_error *err);

/* The image's configuration: gives each layer the digest of its uncompressed tar.
 * Everything else in it (environment, user, entry point) is not ours. -ENOEXEC when
 * it is for another system or processor. */
int kh_config_read(const char *text, size_t size, const struct kh_wanted *wanted,
                   unsigned layers, char ret_digest[][KH_DIGEST_TEXT],
                   struct kh_error *err);

/* True for "sha256:" and 64 lower-case hex digits. */
bool kh_digest_valid(const char *text);

#endif
