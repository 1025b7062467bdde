/* gateway: kernelhostd's child that speaks with the world.
 *
 * Started with its own user id, no capabilities and no_new_privs, in its own
 * directory STATE/run/gateway, with four descriptors: 3 the broker socket, 4 the
 * listening socket of the local API (STATE/run/api.sock, 0600, root), 5 a locked file
 * that tells as long as it is there, 6 its ledger: a file in memory in which it notes
 * what the next one must know. STATE/registry is its own too, and never emptied.
 * Started again when it ends; after KH_GATEWAY_RESTARTS times in a minute, in each of
 * which it lived for less than KH_GATEWAY_LIVED_MS, not at once. It ends with
 * kernelhostd.
 */
#ifndef KH_HOST_GATEWAY_H
#define KH_HOST_GATEWAY_H

#include <stdbool.h>
#include <sys/types.h>

#include "sandbox/host/process.h"
#include "sandbox/host/store.h"

#define KH_GATEWAY_USER     "kernelhost-gateway"
#define KH_GATEWAY_RESTARTS 10
#define KH_GATEWAY_LIVED_MS 500

struct kh_gateway {
    const char *binary; /* borrowed */
    uid_t uid;
    gid_t gid;
    struct kh_process process;
    int broker;      /* our end of its socket; -1: none */
    int api;         /* the API's listening socket; kept over restarts */
    unsigned starts; /* in the minute that began at `minute` */
    int64_t minute;
    int64_t started; /* the last one (CLOCK_MONOTONIC, ms) */
};

/* Looks the user up, binds the API socket (or takes API, if it is not -1), and waits
 * for the gateway of an earlier kernelhostd to end: two would take each other's files
 * and ports. */
int kh_gateway_open(struct kh_gateway *gateway, const struct kh_store *store,
                    const char *binary, int api, struct kh_error *err);
void kh_gateway_close(struct kh_gateway *gateway, const struct kh_store *store);

/* The sandboxes have ended: what a gateway noted of them is of no use to another. */
void kh_gateway_forget(const struct kh_store *store);

/* Starts the process; ENDED is called when it has ended. -EAGAIN when it was started
 * too often. */
int kh_gateway_start(struct kh_gateway *gateway, const struct kh_store *store,
                     void (*ended)(struct kh_process *, int status), void *owner,
                     struct kh_error *err);

#endif
