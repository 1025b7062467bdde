/* disk: where what sandboxes write is kept, and how much each may.
 *
 * One filesystem a host: btrfs in the sparse file STATE/disk.img, on a loop device,
 * attached at STATE/disk in kernelhostd's own mount namespace. A sandbox's upper and
 * work directories are in a subvolume of their own, named by its id, with a limit that
 * counts bytes and, as the space their names and inodes take, files. Sandboxes that
 * outlive kernelhostd keep the filesystem mounted; the next one finds the same.
 *
 * Where that cannot be (no btrfs, no loop device, no mkfs.btrfs) there is no struct
 * kh_disk, sandboxes write into their directories in the state directory, and no
 * limit can be asked for.
 */
#ifndef KH_HOST_DISK_H
#define KH_HOST_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/link/broker.h"

#define KH_DISK_DEFAULT KH_LIMITS_DISK
#define KH_DISK_MIN     (16ull * 1024 * 1024)

/* More than its limit, while a sandbox starts: overlayfs and init make directories,
 * and a disk that is full must not keep it from being started and cleared. */
#define KH_DISK_SLACK (4ull * 1024 * 1024)

struct kh_disk;

/* Opens the disk of the state directory at PATH, which is open as STATE; makes it at
 * the first start. Fails with the reason why this host cannot. */
int kh_disk_open(const char *path, int state, struct kh_disk **ret_disk,
                 struct kh_error *err);

/* Unmounts it here; running sandboxes keep it. NULL does nothing. */
void kh_disk_close(struct kh_disk *disk);

/* Replaces a limit of 0 by the default and checks others; without a DISK (NULL) only
 * 0 is right. */
int kh_disk_check(const struct kh_disk *disk, uint64_t *bytes, struct kh_error *err);

/* Makes the empty disk of sandbox ID, or opens it (-ENOENT: there is none). Returns
 * its directory. */
int kh_disk_make(struct kh_disk *disk, const char *id, struct kh_error *err);
int kh_disk_get(const struct kh_disk *disk, const char *id, struct kh_error *err);

/* Makes disk ID of what disk FROM holds now (subvolume.h), whoever uses that. READONLY:
 * a snapshot, for ever as it is; else it has no limit yet. */
int kh_disk_copy(const struct kh_disk *disk, const char *from, const char *id,
                 bool readonly, struct kh_error *err);

/* Disk ID, which is whole, is from now on a snapshot: read-only. */
int kh_disk_keep(const struct kh_disk *disk, const char *id, struct kh_error *err);

/* Sets how much ID may hold; it may be in use. */
int kh_disk_limit(const struct kh_disk *disk, const char *id, uint64_t bytes,
                  struct kh_error *err);

/* How many bytes ID holds (subvolume.h). */
int kh_disk_used(const struct kh_disk *disk, const char *id, uint64_t *ret_bytes,
                 struct kh_error *err);

/* Deletes what ID has, if anything; takes no time. */
int kh_disk_drop(struct kh_disk *disk, const char *id, struct kh_error *err);

/* Deletes every disk that KEEP does not want. */
void kh_disk_sweep(struct kh_disk *disk, bool (*keep)(void *arg, const char *id),
                   void *arg);

#endif
