#include "kernelhost/gateway/written.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "kernelhost/gateway/tails.h"
#include "kernelhost/gateway/zmtp.h"

static struct kh_ledger *noted_in;
static struct kh_tails *kept_in;
static struct kh_zmtp *scanners[KH_LEDGER_CONNECTIONS]; /* by descriptor */

void
kh_written_begin(struct kh_ledger *ledger, struct kh_tails *tails)
{
    size_t i;

    noted_in = ledger;
    kept_in = tails;
    for (i = 0; i < KH_LEDGER_CONNECTIONS && !ledger; i++)
        free(scanners[i]), scanners[i] = NULL;
}

void
kh_written_follow(uint64_t tag, bool several)
{
    uint32_t kernel = kh_ledger_tagged_kernel(tag);

    if (several)
        kh_tails_need(kept_in, kernel);
    else if (kept_in)
        kh_tails_drop(kept_in, kernel);
}

/* Before the call: what it may write is there for the others whatever becomes of us. */
static void
keep(const struct kh_ledger_connection *connection, const void *data, size_t size,
     size_t count)
{
    struct kh_tail *tail;
    uint64_t at;

    if (!kept_in || !connection->tag ||
        kh_ledger_tagged_channel(connection->tag) != KH_CHANNEL_IOPUB)
        return;
    tail = kh_tails_find(kept_in, kh_ledger_tagged_kernel(connection->tag));
    if (!tail || !connection->subscribed || connection->filtered ||
        !connection->written)
        return;
    if (!kh_tail_find(tail, connection->written, &at)) {
        if (connection->beyond || !kh_tail_ahead(tail, connection->written))
            return;
        kh_tail_begin(tail, connection->written);
        at = tail->size;
    }
    kh_tail_add(tail, at + connection->beyond, data, size, connection->call, count);
}

static ssize_t
pass_through(int fd, const void *data, size_t size, int flags)
{
    return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

/* A new connection under this number. */
static void
begin(struct kh_ledger_connection *connection, struct kh_zmtp *zmtp)
{
    memset(zmtp, 0, sizeof(*zmtp));
    connection->calling = 0;
    connection->behind = 0;
    connection->written = connection->beyond = 0;
    connection->birth++;
}

/* The scanner of a connection that is noted; NULL for all others. A descriptor is
 * written by one thread at a time. */
static struct kh_zmtp *
scanner_of(int fd, const void *data, size_t size,
           struct kh_ledger_connection **ret_connection)
{
    bool begins = kh_zmtp_begins(data, size);

    if (!noted_in || (unsigned)fd >= KH_LEDGER_CONNECTIONS ||
        (!scanners[fd] && !begins))
        return NULL;
    *ret_connection = kh_ledger_connection(noted_in, fd);
    if (!*ret_connection)
        return NULL;
    if (!scanners[fd])
        scanners[fd] = kh_xcalloc(1, sizeof(struct kh_zmtp));
    if (begins)
        begin(*ret_connection, scanners[fd]);
    return scanners[fd]->lost ? NULL : scanners[fd];
}

static ssize_t
send_noted(int fd, struct kh_ledger_connection *connection, const void *data,
           size_t size, int flags)
{
    struct iovec bytes = {.iov_base = (void *)data, .iov_len = size};
    int r;

    memset(&connection->header.msg_hdr, 0, sizeof(connection->header.msg_hdr));
    connection->header.msg_hdr.msg_iov = &bytes;
    connection->header.msg_hdr.msg_iovlen = 1;
    r = (int)syscall(SYS_sendmmsg, fd, &connection->header, 1, flags);
    return r == 1 ? (ssize_t)connection->header.msg_len : -1;
}

/* Overrides that of libc for every library of this program. */
__attribute__((visibility("default"))) ssize_t
send(int fd, const void *data, size_t size, int flags)
{
    struct kh_ledger_connection *connection = NULL;
    struct kh_zmtp *zmtp = scanner_of(fd, data, size, &connection);
    struct kh_zmtp ahead;
    size_t count;
    ssize_t n;

    if (!zmtp)
        return pass_through(fd, data, size, flags);
    ahead = *zmtp;
    connection->calling = 0;
    connection->header.msg_len = KH_LEDGER_UNSENT;
    size =
        kh_zmtp_scan(&ahead, data, size, connection->call, KH_LEDGER_CALL_MAX, &count);
    atomic_signal_fence(memory_order_seq_cst);
    connection->call_count = (uint32_t)count;
    connection->call_beyond = connection->beyond;
    keep(connection, data, size, count);
    atomic_signal_fence(memory_order_seq_cst);
    connection->calling = 1;
    n = send_noted(fd, connection, data, size, flags);
    connection->behind = n < (ssize_t)size;
    if (n == (ssize_t)size)
        *zmtp = ahead;
    else if (n > 0)
        kh_zmtp_scan(zmtp, data, (size_t)n, connection->call, KH_LEDGER_CALL_MAX,
                     &count);
    if (n > 0)
        kh_ledger_took(connection, (uint32_t)n);
    connection->calling = 0;
    return n;
}
