/* pack_own: the inside of pack, shared by pack.c (directories) and pack_entry.c (what
 * is in them). Nobody else includes it.
 */
#ifndef KH_ARCHIVE_PACK_OWN_H
#define KH_ARCHIVE_PACK_OWN_H

#include <sys/stat.h>

#include "sandbox/archive/pack.h"

/* A directory that is open: the names that are left of it. */
struct kh_pack_level {
    char **name;
    size_t count, at;
};

struct kh_packer {
    int (*put)(void *, const void *, size_t, struct kh_error *);
    void *arg;
    int (*go_on)(const struct kh_pack_tally *, struct kh_error *);
    struct kh_pack_tally tally;
    int dir; /* the innermost */
    struct kh_pack_level *level;
    uint32_t depth;
    void *same; /* tree */
    uint32_t sames;
    char *list; /* of names of extended attributes */
    uint8_t *value;
    uint8_t piece[KH_ARCHIVE_PIECE_MAX];
};

/* Fails with errno, or with WHY; NAME is foreign text. */
int kh_pack_fail(struct kh_error *err, const char *what, const char *name);
int kh_pack_refuse(struct kh_error *err, const char *name, const char *why);

/* Parts of an entry. */
int kh_pack_number(struct kh_packer *packer, uint64_t value, size_t bytes,
                   struct kh_error *err);
int kh_pack_text(struct kh_packer *packer, const char *text, struct kh_error *err);
int kh_pack_head(struct kh_packer *packer, enum kh_archive_kind kind, const char *name,
                 struct kh_error *err);
int kh_pack_attributes(struct kh_packer *packer, const struct stat *st,
                       const char *name, struct kh_error *err);
int kh_pack_xattrs(struct kh_packer *packer, int fd, const char *name,
                   struct kh_error *err);

/* Whole entries of the innermost directory. */
int kh_pack_file(struct kh_packer *packer, const char *name, const struct stat *st,
                 struct kh_error *err);
int kh_pack_link(struct kh_packer *packer, const char *name, const struct stat *st,
                 struct kh_error *err);
int kh_pack_node(struct kh_packer *packer, const char *name, const struct stat *st,
                 enum kh_archive_kind kind, struct kh_error *err);

#endif
