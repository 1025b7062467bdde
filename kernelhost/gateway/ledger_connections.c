/* ledger_connections: what libzmq has written to each connection, in the ledger. */
#include <string.h>

#include "kernelhost/gateway/ledger_own.h"

struct kh_ledger_connection *
kh_ledger_connection(struct kh_ledger *ledger, int fd)
{
    size_t size = sizeof(struct kh_ledger_connection);
    size_t at = KH_LEDGER_CONNECTIONS_AT + (size_t)fd * size;

    if (fd < 0 || (unsigned)fd >= KH_LEDGER_CONNECTIONS ||
        !kh_ledger_reach(ledger, at, size))
        return NULL;
    return (struct kh_ledger_connection *)(ledger->base + at);
}

static struct kh_ledger_connection *
noted(const struct kh_ledger *ledger, int fd)
{
    size_t size = sizeof(struct kh_ledger_connection);
    size_t at = KH_LEDGER_CONNECTIONS_AT + (size_t)fd * size;

    return kh_ledger_has(ledger, at) && kh_ledger_has(ledger, at + size - 1)
               ? (struct kh_ledger_connection *)(ledger->base + at)
               : NULL;
}

const struct kh_ledger_connection *
kh_ledger_peek(const struct kh_ledger *ledger, int fd)
{
    return noted(ledger, fd);
}

void
kh_ledger_took(struct kh_ledger_connection *connection, uint32_t n)
{
    uint32_t i, count = connection->call_count;
    uint64_t beyond = connection->call_beyond + n;

    for (i = 0; i < count && i < KH_LEDGER_CALL_MAX; i++)
        if (connection->call[i].offset <= n) {
            connection->written = connection->call[i].position;
            beyond = n - connection->call[i].offset;
        }
    connection->beyond = beyond;
    atomic_signal_fence(memory_order_seq_cst);
    connection->calling = 0;
}

void
kh_ledger_inherit(struct kh_ledger *ledger,
                  void (*fn)(void *arg, uint32_t fd,
                             const struct kh_ledger_connection *connection),
                  void *arg)
{
    uint32_t fd;

    for (fd = 0; fd < KH_LEDGER_CONNECTIONS; fd++) {
        struct kh_ledger_connection *connection = noted(ledger, (int)fd);

        if (!connection)
            continue;
        if (connection->calling && connection->header.msg_len != KH_LEDGER_UNSENT)
            kh_ledger_took(connection, connection->header.msg_len);
        connection->calling = 0;
        if (connection->tag)
            fn(arg, fd, connection);
    }
}

void
kh_ledger_disown(struct kh_ledger *ledger)
{
    uint32_t fd;

    for (fd = 0; fd < KH_LEDGER_CONNECTIONS; fd++) {
        struct kh_ledger_connection *connection = noted(ledger, (int)fd);

        if (connection)
            connection->tag = 0;
    }
}
