#include "sandbox/archive/envelope.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

#define MAGIC    "kernelhost-snapshot 1\n"
#define FAMILY   "kernelhost-snapshot "
#define MAC_SIZE 32u
#define FRONT    12u
#define LAST     0x80000000u

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

static struct kh_envelope *
envelope_new(int fd, const uint8_t *key, const struct head *head)
{
    struct kh_envelope *envelope = kh_xcalloc(1, sizeof(*envelope));

    envelope->fd = fd;
    hmac(key, head, sizeof(*head), envelope->key);
    return envelope;
}

void
kh_envelope_free(struct kh_envelope *envelope)
{
    if (!envelope)
        return;
    OPENSSL_cleanse(envelope->key, sizeof(envelope->key));
    free(envelope);
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
    int r = kh_fd_write_full(envelope->fd, data, size);

    return r < 0 ? kh_fail(err, -r, "cannot write the archive: %s", strerror(-r)) : 0;
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
    envelope = envelope_new(fd, key, &head);
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

static int
read_all(int fd, void *out, size_t size, struct kh_error *err)
{
    int r = kh_fd_read_full(fd, out, size);

    if (r == -EPIPE)
        return kh_fail(err, EBADMSG, "the archive is cut short");
    return r < 0 ? kh_fail(err, -r, "cannot read the archive: %s", strerror(-r)) : 0;
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
    if (r == 0)
        *ret_envelope = envelope_new(fd, key, &head);
    return r;
}

/* Behind the last block there is nothing. */
static int
check_end(const struct kh_envelope *envelope, struct kh_error *err)
{
    char more;
    ssize_t n = read(envelope->fd, &more, 1);

    if (n < 0)
        return kh_fail_errno(err, "cannot read the archive");
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
