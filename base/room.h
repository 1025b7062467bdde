/* room: what this machine still has: memory, tasks, descriptors, disk.
 *
 * kernelhostd asks before it makes a sandbox, the gateway before it opens sockets,
 * `kernelhost doctor` for its report. Reads /proc and a filesystem; decides nothing.
 */
#ifndef KH_BASE_ROOM_H
#define KH_BASE_ROOM_H

#include <stdint.h>

#include "base/error.h"

struct kh_room {
    uint64_t memory_total, memory_available; /* bytes */
    uint64_t tasks, tasks_max;               /* processes and threads */
};

/* Reads the machine's memory and tasks. */
int kh_room_read(struct kh_room *ret_room, struct kh_error *err);

/* The number in kB behind KEY (with its colon) in the text of /proc/meminfo, as
 * bytes; 0 when it is not there. Pure. */
uint64_t kh_room_meminfo(const char *text, const char *key);

/* How much memory is kept free by default: 5 %, at least 512 MiB, but never more
 * than a quarter. Pure. */
uint64_t kh_room_reserve(uint64_t memory_total);

/* Descriptors of this process that are in use, at least, and may be in use. */
void kh_room_descriptors(unsigned *ret_used, unsigned *ret_max);

struct kh_room_disk {
    uint64_t bytes, bytes_total;   /* bytes: what can still be written */
    uint64_t inodes, inodes_total; /* total 0: the filesystem does not count them */
};

/* Of the filesystem that DIR, an open directory, is on. */
int kh_room_disk(int dir, struct kh_room_disk *ret_disk, struct kh_error *err);

#endif
