/* fd: reading, writing and passing file descriptors.
 *
 * Every descriptor made here is close-on-exec from birth. EINTR is retried.
 */
#ifndef KH_BASE_FD_H
#define KH_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* Closes *fd if it is open and sets it to -1. */
void kh_fd_close(int *fd);

/* Sets or clears O_NONBLOCK, or FD_CLOEXEC. Returns 0 or -errno. */
int kh_fd_nonblock(int fd, bool on);
int kh_fd_cloexec(int fd, bool on);

/* Reads exactly SIZE bytes; -EPIPE when the stream ends before that. */
int kh_fd_read_full(int fd, void *p, size_t size);

/* Writes all SIZE bytes to a blocking descriptor. Returns 0 or -errno. */
int kh_fd_write_full(int fd, const void *p, size_t size);

/* Reads a whole file of at most MAX bytes (-EFBIG above) into fresh memory,
 * with a NUL after the last byte. PATH is relative to DIRFD (openat). The
 * caller frees *ret_data. */
int kh_fd_read_file(int dirfd, const char *path, size_t max, char **ret_data,
                    size_t *ret_size, struct kh_error *err);

/* Writes a file so that either the old or the new content is there after a
 * crash: temporary name with MODE, fsync, rename, fsync of the directory. */
int kh_fd_replace_file(int dirfd, const char *path, const void *p, size_t size,
                       mode_t mode, struct kh_error *err);

/* Sends SIZE bytes (at least one) and at most one descriptor (PASS, or -1) as
 * one message over a Unix socket. Returns 0 or -errno (-EAGAIN included). */
int kh_fd_send(int sock, const void *p, size_t size, int pass);

/* Receives one message of at most SIZE bytes. Returns its length, 0 at the end
 * of the stream, -EMSGSIZE when it was longer, or -errno. One passed
 * descriptor lands in *ret_pass (-1 when none came; close-on-exec); any more
 * are closed. */
ssize_t kh_fd_recv(int sock, void *p, size_t size, int *ret_pass);

/* No peer of SOCK can pass it a descriptor from now on: where the kernel knows how
 * (6.16), its sendmsg fails with EPERM. Closing one that came can block for as long
 * as the sender likes (SO_LINGER), even if it was never looked at. */
void kh_fd_refuse_fds(int sock);

/* Fills P from getrandom(2); aborts when the kernel refuses. */
void kh_random(void *p, size_t size);

#endif
