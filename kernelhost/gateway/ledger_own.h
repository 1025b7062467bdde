/* ledger_own: the inside of the ledger, shared by ledger.c (the memory and the
 * kernels), ledger_requests.c and ledger_connections.c. Nobody else includes it.
 */
#ifndef KH_GATEWAY_LEDGER_OWN_H
#define KH_GATEWAY_LEDGER_OWN_H

#include <stdatomic.h>

#include "kernelhost/gateway/ledger.h"

#define KH_LEDGER_PAGE 4096u
#define KH_LEDGER_CHUNK                                                                \
    65536u /* bytes that are taken from the file system at a time                      \
            */

#define KH_LEDGER_KERNELS_AT ((size_t)KH_LEDGER_PAGE)
#define KH_LEDGER_CONNECTIONS_AT                                                       \
    (KH_LEDGER_KERNELS_AT + KH_LEDGER_KERNELS * sizeof(struct kh_ledger_kernel))
#define KH_LEDGER_BLOCKS_AT                                                            \
    ((KH_LEDGER_CONNECTIONS_AT +                                                       \
      KH_LEDGER_CONNECTIONS * sizeof(struct kh_ledger_connection) + KH_LEDGER_BLOCK -  \
      1) /                                                                             \
     KH_LEDGER_BLOCK * KH_LEDGER_BLOCK)
#define KH_LEDGER_SIZE                                                                 \
    (KH_LEDGER_BLOCKS_AT + (size_t)KH_LEDGER_BLOCKS * KH_LEDGER_BLOCK)
#define KH_LEDGER_CHUNKS (KH_LEDGER_SIZE / KH_LEDGER_CHUNK + 1)

struct kh_ledger {
    char *base;
    int fd;                                /* -1: private memory */
    _Atomic uint8_t had[KH_LEDGER_CHUNKS]; /* chunks that the file has */
    uint8_t taken[KH_LEDGER_BLOCKS / 8];
    uint32_t lowest;       /* no free block below */
    uint32_t kernel_first; /* no free kernel below */
    uint32_t kernel_end;   /* none used from here on */
    bool left;
};

/* Takes room from the file system before it is touched: a page that cannot be had
 * would end the process by SIGBUS. kh_ledger_has: whether it is there already. */
bool kh_ledger_reach(struct kh_ledger *ledger, size_t from, size_t size);
bool kh_ledger_has(const struct kh_ledger *ledger, size_t at);

/* Finds the requests that are noted. */
void kh_ledger_load_requests(struct kh_ledger *ledger);

#endif
