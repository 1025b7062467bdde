/* format: what is in the envelope of a snapshot's archive.
 *
 * An info, then the entries of its tree from the top down: what follows a directory is
 * in it, until its end. An entry has a name and no path, so none can lead anywhere.
 * Numbers are little-endian. doc/PROTOCOL.archive has every byte.
 */
#ifndef KH_ARCHIVE_FORMAT_H
#define KH_ARCHIVE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/link/broker.h"

#define KH_ARCHIVE_NAME_MAX   255u
#define KH_ARCHIVE_TARGET_MAX 4095u  /* of a link */
#define KH_ARCHIVE_XATTRS_MAX 1024u  /* of an entry */
#define KH_ARCHIVE_XATTR_MAX  65536u /* bytes of a value; 4 MiB of all of an entry */
#define KH_ARCHIVE_XATTRS_SUM (4u << 20)
#define KH_ARCHIVE_PIECE_MAX  65536u /* of a file's bytes */
#define KH_ARCHIVE_DEPTH_MAX  65536u
#define KH_ARCHIVE_ID_MAX     65535u /* as seen inside */
#define KH_ARCHIVE_IMAGE_ID   33u    /* 32 hexadecimal digits and a NUL */

enum kh_archive_kind {
    KH_ARCHIVE_DIRECTORY = 'd',
    KH_ARCHIVE_FILE = 'f',
    KH_ARCHIVE_LINK = 'l', /* symbolic */
    KH_ARCHIVE_SAME = 'h', /* one more name of a file */
    KH_ARCHIVE_FIFO = 'p',
    KH_ARCHIVE_SOCKET = 's',
    KH_ARCHIVE_WHITEOUT = 'w', /* hides a name of the image */
    KH_ARCHIVE_END = 'e',      /* of the directory */
};

struct kh_archive_info {
    char name[KH_NAME_SIZE]; /* of the snapshot */
    char sandbox[KH_NAME_SIZE];
    char image[KH_IMAGE_NAME_SIZE];
    char image_id[KH_ARCHIVE_IMAGE_ID];
    uint64_t created; /* seconds since 1970 */
};

struct kh_archive_xattr {
    char name[256];
    const uint8_t *value;
    uint32_t size;
};

struct kh_archive_entry {
    enum kh_archive_kind kind;
    char name[KH_ARCHIVE_NAME_MAX + 1]; /* "" of the first, which is the top */
    uint32_t mode;                      /* 07777 */
    uint32_t uid, gid;
    int64_t mtime;
    uint32_t mtime_ns;
    uint64_t size;   /* of a file */
    uint32_t number; /* of a file with several names, and in those; 0: it has one */
    char target[KH_ARCHIVE_TARGET_MAX + 1];
    struct kh_archive_xattr *xattr;
    uint32_t xattrs;
};

/* The extended attributes that are kept: the user's, ACLs, and overlayfs's mark of a
 * directory that hides what is below it. What else overlayfs notes is of one machine.
 */
bool kh_archive_keeps(const char *xattr);

#endif
