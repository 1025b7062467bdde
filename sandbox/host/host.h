/* host: what kernelhostd holds for as long as it lives. */
#ifndef KH_HOST_HOST_H
#define KH_HOST_HOST_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/host/admission.h"
#include "sandbox/host/boxes.h"
#include "sandbox/host/cgroup.h"
#include "sandbox/host/criu.h"
#include "sandbox/host/filter.h"
#include "sandbox/host/idmap.h"
#include "sandbox/host/snapshots.h"
#include "sandbox/host/store.h"
#include "sandbox/host/watch.h"

struct kh_box;
struct kh_metering;
struct kh_spares;
struct kh_wake;
struct kh_zygote;

struct kh_host {
    struct kh_store store;
    struct kh_cgroups *groups;
    struct sock_fprog filter[KH_FILTER_PROGRAMS];
    struct sock_fprog zygote_filter[KH_FILTER_PROGRAMS];
    struct kh_zygote *zygotes;
    struct kh_spares *spares; /* NULL: none are kept */
    char *preload; /* modules of zygotes, separated by commas; NULL: no zygotes */
    int kit;       /* directory of the kit layer */
    char kit_version[KH_KIT_SIZE];
    char mount_point[KH_STATE_PATH_MAX + 8];
    uint32_t id_base;
    uint8_t slots[KH_IDMAP_SLOTS / 8]; /* bit set: in use */
    struct kh_admission admission;
    struct kh_criu criu;   /* program "": there is none */
    struct kh_wake *wakes; /* those that wait (wake.h) */
    unsigned waking;       /* those under way */
    uint64_t saving;       /* bytes that are being written, about */
    int wake_timer;
    struct kh_watch wake_watch;
    struct kh_boxes boxes;
    struct kh_snapshots snapshots;
    struct kh_metering *metering; /* what they use */
    unsigned running;             /* boxes with processes */
    /* A box was stopped or has ended (status as of waitpid, or KH_STATUS_UNKNOWN),
     * or is removed (status of the deletion; it is forgotten after the call). */
    void (*box_ended)(struct kh_host *host, struct kh_box *box, int status,
                      const struct kh_error *failed);
    void *owner;
};

/* Opens STATE, checks that this machine can confine (refuses to run degraded),
 * installs the kit from KIT, takes over the sandboxes of an earlier host, those that
 * run running, and removes its leftovers. kh_watch_open comes before; box_ended and
 * owner are for the caller to set after. */
int kh_host_open(const char *state, const char *kit, uint32_t id_base, int lock,
                 struct kh_host *ret_host, struct kh_error *err);

/* Frees everything; sandboxes must have ended. */
void kh_host_close(struct kh_host *host);

/* Takes the lowest free id slot; -EAGAIN when all are in use. */
int kh_host_take_slot(struct kh_host *host, uint32_t *ret_slot, struct kh_error *err);
void kh_host_give_slot(struct kh_host *host, uint32_t slot);

/* Takes SLOT, whose first id must be ID_FIRST: of a sandbox that an earlier host
 * started. -EADDRINUSE when another has it, -ERANGE when it is none of ours. */
int kh_host_retake_slot(struct kh_host *host, uint32_t slot, uint32_t id_first,
                        struct kh_error *err);

#endif
