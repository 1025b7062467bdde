/* peers_noted: what the peers of a socket have got, from the ledger's notes. */
#include <sys/stat.h>

#include "kernelhost/gateway/peers_own.h"
#include "kernelhost/gateway/position.h"
#include "kernelhost/gateway/written.h"

void
kh_peers_note(struct kh_peers *peers, struct kh_ledger *ledger, uint64_t tag)
{
    peers->ledger = ledger;
    peers->tag = tag;
}

static void
subscribe(struct kh_peers *peers, struct kh_peer *peer, bool filtered, uint64_t told)
{
    if (!peer->noted)
        return;
    peer->noted->since = told;
    peer->noted->filtered = filtered;
    peer->noted->subscribed = 1;
    kh_peers_follow(peers);
}

/* The monitor speaks by another socket, and may be late: then there is no peer yet, or
 * the one that had this descriptor before. */
void
kh_peers_subscribed(struct kh_peers *peers, int fd, bool filtered, uint64_t told)
{
    struct kh_peer *peer = fd < 0 ? NULL : *kh_peers_place(peers, fd);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    if (peer && peer->inode == st.st_ino)
        subscribe(peers, peer, filtered, told);
    else
        peers->early[peers->early_next++ % KH_PEERS_EARLY] = (struct kh_early){
            .fd = fd, .inode = st.st_ino, .filtered = filtered, .told = told};
}

void
kh_peers_begin(struct kh_peers *peers)
{
    struct kh_peer *peer;
    size_t i;

    peers->quiet = peers->quiet_told = 0;
    for (i = 0; i < KH_PEERS_BUCKETS; i++)
        for (peer = peers->bucket[i]; peer; peer = peer->next) {
            peer->written = 0;
            if (!peer->noted)
                continue;
            peer->noted->since = 0;
            __atomic_store_n(&peer->noted->written, 0, __ATOMIC_RELEASE);
        }
    for (i = 0; i < KH_PEERS_EARLY; i++)
        peers->early[i].told = 0;
}

void
kh_peers_catch_up(struct kh_peers *peers, struct kh_peer *peer)
{
    unsigned i;

    for (i = 0; i < KH_PEERS_EARLY; i++) {
        struct kh_early *early = &peers->early[i];

        if (early->inode != peer->inode || early->fd != peer->fd)
            continue;
        subscribe(peers, peer, early->filtered, early->told);
        early->inode = 0;
    }
}

void
kh_peers_follow(const struct kh_peers *peers)
{
    if (peers->keeps && peers->ledger && !kh_ledger_left(peers->ledger))
        kh_written_follow(peers->tag, kh_peers_subscribers(peers) > 1);
}

unsigned
kh_peers_subscribers(const struct kh_peers *peers)
{
    const struct kh_peer *peer;
    unsigned count = 0;
    int i;

    for (i = 0; i < KH_PEERS_BUCKETS; i++)
        for (peer = peers->bucket[i]; peer; peer = peer->next)
            count += peer->noted && peer->noted->subscribed;
    return count;
}

/* A filtered one does not get all: what it gets cannot be told from what it does not,
 * but when libzmq has nothing left for anybody. */
static uint64_t
written_to(const struct kh_peers *peers, const struct kh_peer *peer)
{
    const struct kh_ledger_connection *noted = peer->noted;
    uint64_t written = __atomic_load_n(&noted->written, __ATOMIC_ACQUIRE);

    if (written < noted->since)
        written = noted->since;
    if (noted->filtered && written < peers->quiet &&
        !__atomic_load_n(&noted->behind, __ATOMIC_ACQUIRE))
        written = peers->quiet;
    return written;
}

static bool
is_waited_for(struct kh_peers *peers, struct kh_peer *peer, uint64_t written)
{
    uint64_t now = kh_loop_now(peers->loop);

    if (written != peer->written || !peer->wrote)
        peer->wrote = now;
    peer->written = written;
    return now - peer->wrote < KH_PEERS_STALL_MS;
}

/* libzmq frees a message right before it is written: what it held nothing of at the
 * last call of this is out by now, unless the connection takes no more. */
static void
look_if_quiet(struct kh_peers *peers, uint64_t told)
{
    uint64_t now = kh_loop_now(peers->loop);

    if (now == peers->quiet_at)
        return;
    peers->quiet = peers->quiet_told;
    peers->quiet_told = kh_tally_held(peers->tally) ? peers->quiet : told;
    peers->quiet_at = now;
}

uint64_t
kh_peers_written(struct kh_peers *peers, uint64_t told)
{
    uint64_t least = KH_POSITION_END;
    struct kh_peer *peer;
    int i;

    look_if_quiet(peers, told);
    for (i = 0; i < KH_PEERS_BUCKETS; i++)
        for (peer = peers->bucket[i]; peer; peer = peer->next) {
            uint64_t written;

            if (!peer->noted || !peer->noted->subscribed)
                continue;
            written = written_to(peers, peer);
            if (written >= told)
                peer->wrote = 0;
            else if (is_waited_for(peers, peer, written) && written < least)
                least = written;
        }
    return least;
}

bool
kh_peers_answered(const struct kh_peers *peers, int fd, uint32_t birth, uint64_t told)
{
    const struct kh_peer *peer =
        fd < 0 ? NULL : *kh_peers_place((struct kh_peers *)peers, fd);

    return !peer || !peer->noted || peer->noted->birth != birth ||
           __atomic_load_n(&peer->noted->written, __ATOMIC_ACQUIRE) >= told;
}

uint32_t
kh_peers_birth(const struct kh_peers *peers, int fd)
{
    const struct kh_peer *peer =
        fd < 0 ? NULL : *kh_peers_place((struct kh_peers *)peers, fd);

    return peer && peer->noted ? peer->noted->birth : 0;
}
