/* store: the directories of a host's state, and one record a sandbox.
 *
 * A record decides whether a sandbox exists. It is written whole, by fsync and
 * rename, and read with every field checked; a damaged one is moved to damaged/
 * (its disk stays where it is) and reported, never repaired or dropped.
 *
 *     STATE/lock            held while a kernelhostd lives; one host a state
 *     STATE/images/         names/NAME -> id; id/ID -> layers
 *     STATE/layers/ID/      read-only image layers, ids as seen inside
 *     STATE/kit/VERSION/    the layer with kernelhost-init and the runners
 *     STATE/sandboxes/ID/   record, birth (while it runs), upper/, work/
 *     STATE/snapshots/ID/   see snapshot.h
 *     STATE/disk.img        the disk of all sandboxes (disk.h), where this host can
 *                           have one; attached at STATE/disk/, in kernelhostd's own
 *                           mount namespace: upper/ and work/ are there, by id
 *     STATE/memory/ID/      processes of a hibernated sandbox (memory.h)
 *     STATE/damaged/        records that could not be read
 *     STATE/trash/          disks on their way out
 *     STATE/mnt/            empty: roots are attached here, each in a namespace
 *     STATE/run/            host.pid, api.sock, gateway/
 */
#ifndef KH_HOST_STORE_H
#define KH_HOST_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clean.h"
#include "protocol/link/broker.h"
#include "sandbox/host/birth.h"
#include "sandbox/host/disk.h"

#define KH_ID_TEXT (2 * KH_ID_SIZE + 1)
/* sun_path holds 108 bytes; the longest socket below STATE is
 * run/gateway/k/XXXXXXXXXXXXXXXX-5. */
#define KH_STATE_PATH_MAX 72

struct kh_record {
    uint8_t id[KH_ID_SIZE];
    char name[KH_NAME_SIZE];
    char image[KH_IMAGE_NAME_SIZE]; /* as it was asked for */
    char image_id[KH_ID_TEXT];      /* what that name meant then; pinned */
    struct kh_limits limits;
    uint64_t created; /* seconds since 1970 */
    uint64_t started; /* 0: never */
    uint32_t state;   /* enum kh_sandbox_state; never FROZEN */
    struct kh_ladder ladder;
    uint8_t place[KH_ID_SIZE]; /* what its disk and its memory are called; 0: as itself.
                                  Another one since each rollback (rollback.h) */
};

struct kh_store {
    char path[KH_STATE_PATH_MAX + 1];
    /* directories */
    int state, layers, images, sandboxes, snapshots, damaged, trash, kit, memory, run;
    int lock;
    struct kh_disk *disk; /* NULL: this host has none; the opener's to set */
};

/* Opens or makes the state directory PATH (absolute), takes its lock, checks
 * owner and modes. LOCK is the lock's file that an earlier program of this process
 * left open, taken over, or -1. -EBUSY when another host holds it. */
int kh_store_open(const char *path, int lock, struct kh_store *ret_store,
                  struct kh_error *err);
void kh_store_close(struct kh_store *store);

/* Id as 32 lower-case hex digits. */
void kh_id_text(const uint8_t id[KH_ID_SIZE], char out[KH_ID_TEXT]);

/* Whether TEXT is that and nothing else; of an array of KH_ID_TEXT that has no end it
 * reads no more than is there. */
bool kh_id_text_valid(const char *text);
/* What its disk and its memory are called. */
void kh_record_place(const struct kh_record *record, char out[KH_ID_TEXT]);

/* Makes the sandbox's directory with an empty upper, which gets /etc/hostname and
 * /etc/hosts. Without a record it is no sandbox yet, and trash for the next start. */
int kh_store_prepare(struct kh_store *store, const uint8_t id[KH_ID_SIZE],
                     const char *name, struct kh_error *err);

/* The same on a disk that holds what the snapshot FROM (its id) does. */
int kh_store_prepare_from(struct kh_store *store, const uint8_t id[KH_ID_SIZE],
                          const char *name, const char *from, struct kh_error *err);

/* What /etc/hostname and /etc/hosts hold. The caller frees it. */
char *kh_store_hostname(const char *name);
char *kh_store_hosts(const char *name);

/* Writes the first RECORD into its directory: the sandbox exists when this returns
 * 0, and not otherwise. */
int kh_store_create(struct kh_store *store, const struct kh_record *record,
                    struct kh_error *err);

/* Writes a changed record. */
int kh_store_save(struct kh_store *store, const struct kh_record *record,
                  struct kh_error *err);

/* Removes the record, if there is one: the sandbox no longer exists. */
int kh_store_forget(struct kh_store *store, const struct kh_record *record,
                    struct kh_error *err);

/* The same, and moves the disk to the trash, under the same id. */
int kh_store_discard(struct kh_store *store, const struct kh_record *record,
                     struct kh_error *err);

/* The birth of a running sandbox, beside its record. Writing does not wait for the
 * disk. load: -ENOENT when there is none. */
int kh_store_save_birth(struct kh_store *store, const uint8_t id[KH_ID_SIZE],
                        const struct kh_birth *birth, struct kh_error *err);
int kh_store_load_birth(struct kh_store *store, const uint8_t id[KH_ID_SIZE],
                        struct kh_birth *ret_birth, struct kh_error *err);
void kh_store_drop_birth(struct kh_store *store, const uint8_t id[KH_ID_SIZE]);

/* Calls EACH for every readable record. Half-made directories go to the trash,
 * damaged records to damaged/; both are told by ON_PROBLEM with one line. */
int kh_store_load(struct kh_store *store,
                  void (*each)(void *arg, const struct kh_record *),
                  void (*on_problem)(void *arg, const char *line), void *arg,
                  struct kh_error *err);

/* How many sandboxes have a directory, those whose record was set aside included. */
size_t kh_store_count(const struct kh_store *store);

/* Opens the directory that holds the sandbox's upper/ and work/, which are made anew
 * if a power cut took them. Its limit is set, with SLACK bytes more. */
int kh_store_open_disk(struct kh_store *store, const struct kh_record *record,
                       uint64_t slack, struct kh_error *err);

/* Opens the sandbox's own directory. Returns a descriptor or -errno. */
int kh_store_open_box(struct kh_store *store, const uint8_t id[KH_ID_SIZE],
                      struct kh_error *err);

/* Bytes to record and back (pure; tests and fuzzing). decode: -EBADMSG with the
 * reason when anything does not fit. */
size_t kh_record_encode(const struct kh_record *record, void *out, size_t size);
int kh_record_decode(const void *data, size_t size, struct kh_record *ret_record,
                     struct kh_error *err);
#define KH_RECORD_SIZE 512

#endif
