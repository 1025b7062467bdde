/* fork: new sandboxes with the disk, and the processes, that another one has now.
 *
 * A temporary snapshot, a create from it for each, and its removal. Whatever becomes of
 * this gateway meanwhile, kernelhostd removes the snapshot when the gateway has ended;
 * sandboxes that were made by then are sandboxes like any other.
 */
#ifndef KH_GATEWAY_FORK_H
#define KH_GATEWAY_FORK_H

#include "kernelhost/gateway/gateway.h"
#include "protocol/link/broker.h"

#define KH_FORKS_MAX 100u /* at once */

struct kh_fork_child {
    char name[KH_NAME_SIZE]; /* "": one is chosen */
    struct kh_error err;     /* code 0: it was made */
};

/* ERR is NULL, and each child tells how it went, or says why there is none. */
typedef void kh_fork_fn(void *arg, const struct kh_fork_child *children, unsigned count,
                        const struct kh_error *err);

/* Forks the sandbox NAME: its image, limits and ladder are those of all. CHILDREN (1 to
 * KH_FORKS_MAX) are copied; those that have an error already are left alone; when all
 * have, so is the sandbox. With MEMORY the processes come along; nothing may run in it
 * then. FN is called once, maybe before this returns. */
void kh_fork(struct kh_gateway *gateway, const char *name, bool memory,
             const struct kh_fork_child *children, unsigned count, kh_fork_fn *fn,
             void *arg);

#endif
