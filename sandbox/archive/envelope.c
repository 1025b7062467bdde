#include "sandbox/archive/envelope.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/image/progress.h"

#define MAGIC    "kernelhost-snapshot 1\n"
#define FAMILY   "kernelhost-snapshot "
#define MAC_SIZE 32u
#define FRONT    12u
#define LAST     0x80000000u
#define TURN_MS  500

struct head {
    char magic[24];
    uint8_t key_id[8]; /* tells a wrong key from a damaged file, and nothing else */
    uint8_t nonce[32];
};

struct kh_envelope {
    int fd;
    uint8_t key[KH_ENVELOPE_KEY]; /* of this file */
    uint64_t number;
    bool ended;
    size_t used;
    /* What a MAC is over: the number (8 bytes), the length and LAST (4), the block. */
    uint8_t sealed[FRONT + KH_ENVELOPE_BLOCK];
};

static void
hmac(const uint8_t *key, const void *data, size_t size, uint8_t out[MAC_SIZE])
{
    unsigned length = MAC_SIZE;

    if (!HMAC(EVP_sha256(), key, KH_ENVELOPE_KEY, data, size, out, &length))
        abort(); /* libcrypto without SHA-256 */
}

static void
id_of(const uint8_t *key, uint8_t out[8])
{
    static const char what[] = "kernelhost key id";
    uint8_t whole[MAC_SIZE];

    hmac(key, what, sizeof(what), whole);
    memcpy(out, whole, 8);
}

/* The child that unpacks is not to know what makes an archive believed. */
static int
envelope_new(int fd, const uint8_t *key, const struct head *head,
             struct kh_envelope **ret_envelope, struct kh_error *err)
{
    struct kh_envelope *envelope = mmap(NULL, sizeof(*envelope), PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (envelope == MAP_FAILED)
        return kh_fail_errno(err, "cannot get memory for an archive");
    if (madvise(envelope, sizeof(*envelope), MADV_WIPEONFORK) < 0 ||
        madvise(envelope, sizeof(*envelope), MADV_DONTDUMP) < 0) {
        int r = kh_fail_errno(err, "cannot keep a key from others");

        munmap(envelope, sizeof(*envelope));
        return r;
    }
    envelope->fd = fd;
    hmac(key, head, sizeof(*head), envelope->key);
    *ret_envelope = envelope;
    return 0;
}

void
kh_envelope_free(struct kh_envelope *envelope)
{
    if (!envelope)
        return;
    OPENSSL_cleanse(envelope->key, sizeof(envelope->key));
    munmap(envelope, sizeof(*envelope));
}

static void
seal(struct kh_envelope *envelope, uint32_t length, uint8_t out[MAC_SIZE])
{
    const uint64_t number = htole64(envelope->number);
    const uint32_t wire = htole32(length);

    memcpy(envelope->sealed, &number, sizeof(number));
    memcpy(envelope->sealed + sizeof(number), &wire, sizeof(wire));
    hmac(envelope->key, envelope->sealed, FRONT + (length & ~LAST), out);
}

/* ---- writing ---- */

static int
write_all(const struct kh_envelope *envelope, const void *data, size_t size,
          struct kh_error *err)
{
    const uint8_t *at = data;

    while (size) {
        ssize_t n;

        if (kh_progress_stopped())
            return kh_fail(err, EINTR, "interrupted");
        n = write(envelope->fd, at, size);
        if (n < 0 && errno != EINTR)
            return kh_fail_errno(err, "cannot write the archive");
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int
kh_envelope_begin(int fd, const uint8_t *key, struct kh_envelope **ret_envelope,
                  struct kh_error *err)
{
    AUTO(kh_envelope) struct kh_envelope *envelope = NULL;
    struct head head = {.magic = MAGIC};
    int r;

    id_of(key, head.key_id);
    kh_random(head.nonce, sizeof(head.nonce));
    r = envelope_new(fd, key, &head, &envelope, err);
    if (r == 0)
        r = write_all(envelope, &head, sizeof(head), err);
    if (r == 0)
        *ret_envelope = STEAL_PTR(envelope);
    return r;
}

static int
write_block(struct kh_envelope *envelope, uint32_t last, struct kh_error *err)
{
    uint32_t length = (uint32_t)envelope->used | last;
    uint8_t mac[MAC_SIZE];
    int r;

    seal(envelope, length, mac);
    r = write_all(envelope, envelope->sealed + 8, FRONT - 8 + envelope->used, err);
    if (r == 0)
        r = write_all(envelope, mac, sizeof(mac), err);
    envelope->number++;
    envelope->used = 0;
    return r;
}

int
kh_envelope_put(struct kh_envelope *envelope, const void *data, size_t size,
                struct kh_error *err)
{
    const uint8_t *at = data;

    while (size) {
        size_t room = KH_ENVELOPE_BLOCK - envelope->used;
        size_t now = size < room ? size : room;

        memcpy(envelope->sealed + FRONT + envelope->used, at, now);
        envelope->used += now;
        at += now;
        size -= now;
        if (envelope->used == KH_ENVELOPE_BLOCK) {
            int r = write_block(envelope, 0, err);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

int
kh_envelope_end(struct kh_envelope *envelope, struct kh_error *err)
{
    return write_block(envelope, LAST, err);
}

/* ---- reading ---- */

/* As read(2). A signal that comes just before it waits is seen in its next turn. */
static ssize_t
read_some(int fd, void *out, size_t size, struct kh_error *err)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    ssize_t n = -1;

    do {
        if (kh_progress_stopped())
            return kh_fail(err, EINTR, "interrupted");
        if (poll(&poller, 1, TURN_MS) > 0)
            n = read(fd, out, size);
        else
            errno = EINTR;
    } while (n < 0 && errno == EINTR);
    return n < 0 ? kh_fail_errno(err, "cannot read the archive") : n;
}

static int
read_all(int fd, void *out, size_t size, struct kh_error *err)
{
    uint8_t *at = out;

    while (size) {
        ssize_t n = read_some(fd, at, size, err);

        if (n < 0)
            return (int)n;
        if (n == 0)
            return kh_fail(err, EBADMSG, "the archive is cut short");
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int
check_head(const struct head *head, const uint8_t *key, struct kh_error *err)
{
    uint8_t id[8];

    if (strncmp(head->magic, FAMILY, strlen(FAMILY)) != 0)
        return kh_fail(err, EBADMSG, "that is no archive of a snapshot");
    if (memcmp(head->magic, (char[24]){MAGIC}, sizeof(head->magic)) != 0)
        return kh_fail(err, EPROTO,
                       "the archive has another version than 1, which this host knows "
                       "(hint: export it anew)");
    id_of(key, id);
    if (CRYPTO_memcmp(head->key_id, id, sizeof(id)) != 0)
        return kh_fail(err, EKEYREJECTED,
                       "the archive was made under another host's key (hint: --key "
                       "FILE, a copy of snapshot.key in that host's state directory)");
    return 0;
}

int
kh_envelope_open(int fd, const uint8_t *key, struct kh_envelope **ret_envelope,
                 struct kh_error *err)
{
    struct head head = {.magic = ""};
    int r = read_all(fd, &head, sizeof(head), err);

    if (r == 0)
        r = check_head(&head, key, err);
    return r < 0 ? r : envelope_new(fd, key, &head, ret_envelope, err);
}

/* Behind the last block there is nothing. */
static int
check_end(const struct kh_envelope *envelope, struct kh_error *err)
{
    char more;
    ssize_t n = read_some(envelope->fd, &more, 1, err);

    if (n < 0)
        return (int)n;
    return n > 0 ? kh_fail(err, EBADMSG, "the archive goes on behind its end") : 0;
}

int
kh_envelope_get(struct kh_envelope *envelope, const void **ret_data, size_t *ret_size,
                struct kh_error *err)
{
    uint8_t mac[MAC_SIZE], own[MAC_SIZE];
    uint32_t length = 0;
    size_t size;
    int r;

    if (envelope->ended)
        return 0;
    r = read_all(envelope->fd, &length, sizeof(length), err);
    if (r < 0)
        return r;
    length = le32toh(length);
    size = length & ~LAST;
    if (size > KH_ENVELOPE_BLOCK)
        return kh_fail(err, EBADMSG, "the archive is damaged");
    r = read_all(envelope->fd, envelope->sealed + FRONT, size, err);
    if (r == 0)
        r = read_all(envelope->fd, mac, sizeof(mac), err);
    if (r < 0)
        return r;
    seal(envelope, length, own);
    if (CRYPTO_memcmp(mac, own, sizeof(mac)) != 0)
        return kh_fail(err, EBADMSG, "the archive is damaged");
    envelope->number++;
    envelope->ended = length & LAST;
    r = envelope->ended ? check_end(envelope, err) : 0;
    *ret_data = envelope->sealed + FRONT;
    *ret_size = size;
    return r < 0 ? r : 1;
}
