/* memory: the processes of a hibernated sandbox, as files.
 *
 *     STATE/memory/ID.new/    being written; locked by who writes
 *     STATE/memory/ID/        whole: CRIU's images, and the birth they are of
 *
 * A sandbox is hibernated if its record says so: until then its processes are there,
 * and what lies here is nothing; from then on they are only here. A directory whose
 * record says something else is removed at the next start.
 */
#ifndef KH_HOST_MEMORY_H
#define KH_HOST_MEMORY_H

#include <limits.h>
#include <stdbool.h>

#include "sandbox/host/store.h"

#define KH_MEMORY_LOG  "criu.log"
#define KH_MEMORY_PATH (KH_STATE_PATH_MAX + 64)

/* Makes an empty ID.new, locked for as long as the descriptor and its copies in
 * children live. Returns it, and its path in PATH. */
int kh_memory_begin(const struct kh_store *store, const char *id,
                    char path[KH_MEMORY_PATH], struct kh_error *err);

/* In who has written: brings all of DIR to the disk. */
int kh_memory_sync(int dir, struct kh_error *err);

/* Gives ID.new, in which BIRTH is noted, its name. */
int kh_memory_commit(const struct kh_store *store, const char *id,
                     const struct kh_birth *birth, struct kh_error *err);

/* In words, why nothing more can be written to DIR; "" when it is not for want of
 * room. */
const char *kh_memory_full(int dir);

/* -EBADMSG, with the file, when the pages in DIR are not as long as they were when it
 * was given its name: CRIU would read them for ever. */
int kh_memory_check(int dir, struct kh_error *err);

/* Opens what is whole, with the birth in it and how many bytes it has (each may be
 * NULL). -ENOENT: there is none. */
int kh_memory_open(const struct kh_store *store, const char *id,
                   char path[KH_MEMORY_PATH], struct kh_birth *ret_birth,
                   uint64_t *ret_bytes, struct kh_error *err);

/* Bytes that the memory in DIR takes on the disk. */
uint64_t kh_memory_bytes(int dir);

/* Bytes of pages in it: what comes back when it wakes. */
uint64_t kh_memory_pages(int dir);

/* Gives ID the same memory as the directory FROM, which shares it from then on. */
int kh_memory_share(const struct kh_store *store, int from, const char *id,
                    struct kh_error *err);

/* The same for a snapshot: makes NAME in the directory TO of what ID has. */
int kh_memory_copy(const struct kh_store *store, const char *id, int to,
                   const char *name, struct kh_error *err);

/* The birth in the memory's directory DIR. */
int kh_memory_birth(int dir, struct kh_birth *ret_birth, struct kh_error *err);

/* What CRIU is to make has the ids of another slot: FIRST, of the host. */
int kh_memory_map(int dir, uint32_t first, struct kh_error *err);

/* Removes what there is of ID, whole or not. */
void kh_memory_drop(const struct kh_store *store, const char *id);

/* At the start: waits for those who still write, and removes all that KEEP does not
 * want, and what is not whole. */
void kh_memory_sweep(const struct kh_store *store,
                     bool (*keep)(void *arg, const char *id), void *arg);

#endif
