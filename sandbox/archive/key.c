#include "sandbox/archive/key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define DIGITS (2 * KH_ENVELOPE_KEY)

static int
decode(const char *path, const char *text, size_t size,
       uint8_t ret_key[KH_ENVELOPE_KEY], struct kh_error *err)
{
    uint8_t key[KH_ENVELOPE_KEY];
    size_t i;

    if (size < DIGITS || size > DIGITS + 1 ||
        strspn(text, "0123456789abcdef") != DIGITS ||
        (size == DIGITS + 1 && text[DIGITS] != '\n'))
        return kh_fail(err, EBADMSG,
                       "'%s' holds no key (hint: it is one line of %u hexadecimal "
                       "digits)",
                       path, DIGITS);
    for (i = 0; i < sizeof(key); i++) {
        unsigned value = 0;

        (void)sscanf(text + 2 * i, "%2x", &value);
        key[i] = (uint8_t)value;
    }
    memcpy(ret_key, key, sizeof(key));
    OPENSSL_cleanse(key, sizeof(key));
    return 0;
}

int
kh_key_read(int dir, const char *path, uint8_t ret_key[KH_ENVELOPE_KEY],
            struct kh_error *err)
{
    AUTO_FD int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char text[DIGITS + 3] = "";
    struct stat st;
    ssize_t n;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return kh_fail_errno(err, "cannot open the key '%s'", path);
    if (!S_ISREG(st.st_mode) || st.st_mode & 077)
        return kh_fail(
            err, EPERM,
            "the key '%s' must be a file that only its owner can read (hint: "
            "chmod 600)",
            path);
    n = read(fd, text, sizeof(text) - 1);
    r = n < 0 ? kh_fail_errno(err, "cannot read the key '%s'", path)
              : decode(path, text, (size_t)n, ret_key, err);
    OPENSSL_cleanse(text, sizeof(text));
    return r;
}

/* Whole or not at all; and of two that make it at once one is first. */
static int
make(int state, struct kh_error *err)
{
    AUTO_FD int fd = openat(state, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    uint8_t key[KH_ENVELOPE_KEY];
    char text[DIGITS + 2], path[40];
    size_t i;
    int r;

    if (fd < 0)
        return kh_fail_errno(err, "cannot make '" KH_KEY_FILE "'");
    kh_random(key, sizeof(key));
    for (i = 0; i < sizeof(key); i++)
        snprintf(text + 2 * i, 3, "%02x", key[i]);
    text[DIGITS] = '\n';
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    r = kh_fd_write_full(fd, text, DIGITS + 1);
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(text, sizeof(text));
    if (r == 0 && (fsync(fd) < 0 ||
                   (linkat(AT_FDCWD, path, state, KH_KEY_FILE, AT_SYMLINK_FOLLOW) < 0 &&
                    errno != EEXIST)))
        r = -errno;
    if (r == 0 && fsync(state) < 0)
        r = -errno;
    return r < 0 ? kh_fail(err, -r, "cannot write '" KH_KEY_FILE "': %s", strerror(-r))
                 : 0;
}

int
kh_key_own(int state, uint8_t ret_key[KH_ENVELOPE_KEY], struct kh_error *err)
{
    int r =
        faccessat(state, KH_KEY_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT
            ? make(state, err)
            : 0;

    return r < 0 ? r : kh_key_read(state, KH_KEY_FILE, ret_key, err);
}
