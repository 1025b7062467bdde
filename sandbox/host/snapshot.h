/* snapshot: what a sandbox's disk held at one moment, kept under a name.
 *
 * Its disk is a read-only subvolume (disk.h) named by the snapshot's id: made in the
 * time of a commit, however much is on it, and sharing everything with the sandbox it
 * was taken of and with those that are made from it. None of them needs another: each
 * may go first.
 *
 *     STATE/snapshots/ID/record   decides whether it exists; written last, goes first
 *     STATE/snapshots/ID/memory/  the place for its processes, when it has some
 *     STATE/disk/ID/              upper/ and work/ as they were
 *
 * A child process takes it, since writing what a sandbox has in memory may last, and
 * the sandbox stands still for as long: btrfs writes one file after the other, and of
 * two that are written meanwhile the later change could be in it without the earlier.
 * What an interrupted one leaves is no snapshot, and goes at the next start.
 *
 * A temporary one has no record at all: it is gone with the gateway that wanted it.
 */
#ifndef KH_HOST_SNAPSHOT_H
#define KH_HOST_SNAPSHOT_H

#include <stdbool.h>

#include "sandbox/host/box.h"
#include "sandbox/host/process.h"
#include "sandbox/host/snapshots.h"
#include "sandbox/host/store.h"

/* What a process that waits for a disk may need to stand still. */
#define KH_SNAPSHOT_FREEZE_MS 10000

/* Beside the record while the sandbox with the id behind it is frozen for this. */
#define KH_SNAPSHOT_FROZE "froze-"

/* In its directory. */
#define KH_SNAPSHOT_MEMORY_DIR "memory"

/* STATE/snapshots/import.ID: a record, and a disk, that kernelhost-snapshot unpacked.
 */
#define KH_SNAPSHOT_IMPORT "import."

struct kh_snapshot_record {
    uint8_t id[KH_ID_SIZE];
    char name[KH_NAME_SIZE];
    char sandbox[KH_NAME_SIZE]; /* that it was taken of; it may be gone */
    char image[KH_IMAGE_NAME_SIZE];
    char image_id[KH_ID_TEXT]; /* pinned */
    struct kh_limits limits;   /* of the sandbox then */
    uint64_t created;          /* seconds since 1970 */
    uint64_t expires;          /* 0: never */
    uint64_t held;             /* bytes */
    uint32_t flags;            /* KH_SNAPSHOT_... */
    uint8_t box[KH_ID_SIZE]; /* the sandbox, by its id; 0: not known, or none of here */
    char label[KH_LABEL_SIZE]; /* for people */
};

struct kh_snapshot {
    struct kh_host *host;
    uint64_t number; /* in the host's snapshots */
    struct kh_snapshot_record record;
    char id[KH_ID_TEXT];
    char kit[KH_KIT_SIZE]; /* that its processes run on, with memory */
    uint64_t saved;        /* bytes of it on the disk */
    /* While it is being taken: */
    bool taking;
    struct kh_process process; /* the child */
    char box[KH_ID_TEXT];      /* of the sandbox that stands still for it, */
    char place[KH_ID_TEXT];    /* and of its disk */
    void *kernels;             /* to be noted, KH_BROKER_KERNELS ids; or NULL */
    void (*taken)(void *owner, struct kh_snapshot *snapshot,
                  const struct kh_error *failed);
    void *owner;
};

/* In its directory, with memory: ids that the gateway has given, as it gave them. */
#define KH_SNAPSHOT_KERNELS "kernels"

/* Reads them; all 0 where there are none. */
void kh_snapshot_kernels(const struct kh_snapshot *snapshot,
                         uint8_t ret_kernels[KH_BROKER_KERNELS][KH_ID_SIZE]);

/* Opens the directory of its memory, and tells the birth of what is in it. */
int kh_snapshot_open_memory(const struct kh_snapshot *snapshot,
                            struct kh_birth *ret_birth, struct kh_error *err);

/* Begins to take a snapshot of BOX; RECORD has its name, label, expiry and flags,
 * KERNELS (KH_BROKER_KERNELS of them; or NULL) is kept beside it. TAKEN is called
 * later, once: FAILED has code 0 when it exists, else SNAPSHOT is NULL. -EEXIST,
 * -EINVAL, -EUSERS (too many), -ENOTSUP (no disk that can; memory), -EBUSY. */
int kh_snapshot_take(struct kh_box *box, const struct kh_snapshot_record *record,
                     const uint8_t (*kernels)[KH_ID_SIZE],
                     void (*taken)(void *owner, struct kh_snapshot *snapshot,
                                   const struct kh_error *failed),
                     void *owner, struct kh_error *err);

/* One that exists, or will, in the host's table. */
struct kh_snapshot *kh_snapshot_new(struct kh_host *host,
                                    const struct kh_snapshot_record *record);

/* Makes a snapshot of what was unpacked under ID. Its name, image and the sandbox it is
 * of are the record's; limits are the host's defaults, whatever was written there.
 * -ENOENT, -EEXIST, -EUSERS, -EBADMSG. */
int kh_snapshot_adopt(struct kh_host *host, const char *id, uint64_t expires,
                      struct kh_snapshot **ret_snapshot, struct kh_error *err);

/* Whether one more may have that name. */
int kh_snapshot_check_name(struct kh_host *host, const char *name, bool temporary,
                           struct kh_error *err);

/* Removes it. What was made from it stays. */
int kh_snapshot_remove(struct kh_snapshot *snapshot, struct kh_error *err);

/* Finds those of an earlier host, drops what it left half made or what has expired, and
 * lets go on what it froze. After sandboxes are loaded, before disks are swept. */
int kh_snapshot_load(struct kh_host *host, struct kh_error *err);

/* Bytes to record and back (pure; tests and fuzzing). decode: -EBADMSG with the
 * reason when anything does not fit. */
size_t kh_snapshot_encode(const struct kh_snapshot_record *record, void *out,
                          size_t size);
int kh_snapshot_decode(const void *data, size_t size,
                       struct kh_snapshot_record *ret_record, struct kh_error *err);
#define KH_SNAPSHOT_RECORD_SIZE 512

/* The record in DIRECTORY of the open SNAPSHOTS; -EBADMSG when ID (may be NULL) is not
 * its own. */
int kh_snapshot_read(int snapshots, const char *directory, const char *id,
                     struct kh_snapshot_record *ret_record, struct kh_error *err);

#endif
