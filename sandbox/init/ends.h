/* ends: init's ends of what connects it with one runner: a socket and two pipes.
 *
 * HELLO (protocol/link/runner.h) lies in the socket already when they are made: a
 * runner finds it whenever it comes.
 */
#ifndef KH_INIT_ENDS_H
#define KH_INIT_ENDS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/link/runner.h"

struct kh_ends {
    int sock, out, err; /* non-blocking; -1: none */
    unsigned char nonce[KH_MARKER_NONCE];
};

#define KH_ENDS_NONE                                                                   \
    {                                                                                  \
        .sock = -1, .out = -1, .err = -1                                               \
    }

/* Makes them. RET_THEIRS are what the runner is to find as 1, 2 and KH_RUNNER_FD;
 * they block, whoever writes to them. Nothing is open after a failure. */
int kh_ends_open(struct kh_ends *ret_ends, int ret_theirs[3], struct kh_error *err);
void kh_ends_close(struct kh_ends *ends);

/* Sends BYTES with COUNT descriptors (at most KH_ENDS_PASS) in one go. False when they
 * did not all fit now, or nobody is there; nothing was sent then. The caller keeps its
 * descriptors. BYTES is small: a few frames' heads. */
#define KH_ENDS_PASS 4
bool kh_ends_pass(int sock, const struct kh_buf *bytes, const int *fds, unsigned count);

#endif
