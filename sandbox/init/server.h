/* server: the socket that init listens on, and who may connect to it.
 *
 * The socket lies in a directory that only init can enter, and each peer is
 * checked as well: SO_PEERCRED shows a process outside this pid namespace as
 * pid 0, and nobody inside can be that. Others are closed without a word.
 */
#ifndef KH_INIT_SERVER_H
#define KH_INIT_SERVER_H

#include <stdbool.h>

#include "base/error.h"

/* Makes the directory (0700), removes a stale socket, listens. CHECK_PEERS is
 * false only in tests. */
int kh_server_open(const char *path, bool check_peers, struct kh_error *err);

#endif
