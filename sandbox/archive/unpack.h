/* unpack: the confined child that makes the files of an archive.
 *
 * It gets the bytes through a pipe, each of them behind the envelope's check, and one
 * directory, which is all the world it sees: its root, its only writable place. It has
 * the capabilities that keep owners, modes and overlayfs's marks, and the system calls
 * of making files, and nothing else; so what an archive holds can go wrong nowhere but
 * in that directory, which is thrown away then.
 */
#ifndef KH_ARCHIVE_UNPACK_H
#define KH_ARCHIVE_UNPACK_H

#include <sys/types.h>

#include "sandbox/archive/format.h"

struct kh_unpack_result {
    struct kh_error error; /* code 0: all went well */
};

/* Starts it on DIR, an empty directory, in which it makes upper/. It reads from
 * *RET_PIPE's other end and writes one struct kh_unpack_result to *RET_RESULT's. */
int kh_unpack_start(int dir, pid_t *ret_pid, int *ret_pipe, int *ret_result,
                    struct kh_error *err);

/* What RESULT says: 0, or -errno. Whoever wrote it has read what is foreign: a code
 * that is none is -EIO, and of the text only what can be shown is taken. */
int kh_unpack_judge(const struct kh_unpack_result *result, struct kh_error *err);

#endif
