/* pack: from a directory tree to the entries of an archive.
 *
 * The tree is a read-only snapshot: nobody changes it meanwhile. What is in it was a
 * sandbox's, so no link is followed and nothing but regular files is opened.
 */
#ifndef KH_ARCHIVE_PACK_H
#define KH_ARCHIVE_PACK_H

#include "base/error.h"
#include "sandbox/archive/format.h"

struct kh_pack_tally {
    uint64_t entries, bytes; /* bytes as written, without holes */
};

/* Gives INFO and all that is below the open directory TOP to PUT, piece by piece. GO_ON
 * is asked now and then, and ends it with its error. */
int kh_pack(int top, const struct kh_archive_info *info,
            int (*put)(void *arg, const void *data, size_t size, struct kh_error *err),
            void *arg,
            int (*go_on)(const struct kh_pack_tally *tally, struct kh_error *err),
            struct kh_pack_tally *ret_tally, struct kh_error *err);

#endif
