/* zygote: a warm Python of an image, whose children join sandboxes as runners.
 *
 * One an image, started when it is first asked for: the image's own python3 with
 * the preload list imported (sandbox/runner/zygote), over the image's layers and the
 * kit, with a disk in memory. It is an ordinary user of the host, id 1000 of a slot
 * of its own, without capabilities, network, or sight of another process, under a
 * seccomp list that adds nothing to the sandbox's but setns. What lets its children
 * join is that this user owns the user namespaces of the image's sandboxes, which
 * kernelhostd makes, and checks, as it makes all others.
 *
 *     STARTING -> READY     it said so
 *     STARTING -> FAILED    it could not; told once in the log, and not tried again
 *     READY    -> STARTING  it ended; a new one is started when asked for, or at once
 *                           if it was asked for in vain
 *
 * The zygote is the image's code, and hostile if the image is. It gets a pidfd and a
 * socket for each child, and is believed nothing: see join.h.
 *
 * Source for the owner's rights: user_namespaces(7), "Capabilities".
 */
#ifndef KH_HOST_ZYGOTE_H
#define KH_HOST_ZYGOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "sandbox/host/host.h"
#include "sandbox/host/process.h"
#include "sandbox/host/watch.h"

#define KH_ZYGOTE_PRELOAD_MAX 4096 /* bytes of a preload list */
#define KH_ZYGOTE_USER        1000 /* in its slot, as runners have it in theirs */

enum kh_zygote_state {
    KH_ZYGOTE_STARTING,
    KH_ZYGOTE_READY,
    KH_ZYGOTE_FAILED,
};

struct kh_zygote {
    struct kh_zygote *next; /* of the host's */
    struct kh_host *host;
    char image_id[KH_ID_TEXT]; /* the name of its cgroups, too */
    uint32_t slot;
    enum kh_zygote_state state;
    unsigned failures; /* children that did not arrive, in a row */
    unsigned ends;     /* how often it ended by itself */
    bool missed;       /* it was asked for when it had ended, before that was known */
    unsigned boxes;    /* sandboxes whose user namespaces it owns */
    unsigned joins;    /* children on their way */
    uint32_t *kept;    /* slots of sandboxes that have ended */
    size_t kept_count;
    uint64_t used; /* when it was asked for last, as a count */
    struct kh_process process;
    int sock; /* -1: none */
    struct kh_watch watch;
};

/* Takes the preload list, names separated by commas; "none": no zygotes at all.
 * -EINVAL for one that holds anything but names. Before the first zygote. */
int kh_zygote_configure(struct kh_host *host, const char *preload,
                        struct kh_error *err);

#define KH_ZYGOTES_MAX      8    /* processes at once; one more ends the least used */
#define KH_ZYGOTE_JOINS_MAX 1024 /* children asked for and not there yet */

/* The zygote of an image, started if need be; NULL when the host has none for it.
 * It may be STARTING still. It lives until the next call unless it is held. */
struct kh_zygote *kh_zygote_of(struct kh_host *host, const char *image_id);

/* The same for a sandbox that an earlier host made, whose owner was the zygote in
 * SLOT: held, not started; NULL when the image has another one by now. */
struct kh_zygote *kh_zygote_adopt(struct kh_host *host, const char *image_id,
                                  uint32_t slot);

/* A sandbox of its image is about to be made, which it is to own: takes a slot for
 * it. -EAGAIN when all are in use. */
int kh_zygote_hold(struct kh_zygote *zygote, uint32_t *ret_slot, struct kh_error *err);

/* One has ended. Its SLOT is for sandboxes of the same zygote only: a child that
 * stayed in the user namespace, or kept a descriptor of it, can still become any user
 * of that slot, and signal who has the same ids. Given back when nothing of the zygote
 * lives and others need it. */
void kh_zygote_release(struct kh_zygote *zygote, uint32_t slot);

/* Host id of the user that owns the sandboxes' user namespaces. */
uint32_t kh_zygote_owner(const struct kh_zygote *zygote);

/* Asks for a child that joins PIDFD's namespaces and speaks over TALK (not taken).
 * -EAGAIN when it is not ready, -errno otherwise. */
int kh_zygote_ask(struct kh_zygote *zygote, int pidfd, int talk);

/* It, or a child of it, did what none does: it is ended and its image has none from
 * now on. WHY goes to the log. */
void kh_zygote_condemn(struct kh_zygote *zygote, const char *why);

/* Ends all of them. */
void kh_zygote_end_all(struct kh_host *host);

/* ---- between its modules ---- */

/* Makes the process (zygote_start.c): *ret_sock is our end of its socket. */
int kh_zygote_spawn(struct kh_zygote *zygote, pid_t *ret_pid, int *ret_pidfd,
                    int *ret_sock, struct kh_error *err);

#endif
