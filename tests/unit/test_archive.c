/* The envelope of an archive: what is changed in any way is refused, before a byte of
 * it is handed out. And what the parser makes of bytes that are wrong all the same. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "sandbox/archive/envelope.h"
#include "sandbox/archive/key.h"
#include "sandbox/archive/parse.h"
#include "sandbox/archive/unpack.h"
#include "tests/tap.h"

#define CONTENT   70000 /* more than a block */
#define MUTATIONS 100000

static const uint8_t key[KH_ENVELOPE_KEY] = "a key of thirty-two bytes......";
static uint8_t content[CONTENT];

static int
memory(const void *data, size_t size)
{
    int fd = memfd_create("archive", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0)
        abort();
    return fd;
}

/* SIZE bytes in an envelope; the caller frees it. */
static uint8_t *
make(size_t size, size_t *ret_size)
{
    struct kh_envelope *envelope;
    int fd = memfd_create("archive", MFD_CLOEXEC);
    uint8_t *bytes;
    off_t end;

    if (kh_envelope_begin(fd, key, &envelope, NULL) < 0 ||
        kh_envelope_put(envelope, content, size / 2, NULL) < 0 ||
        kh_envelope_put(envelope, content + size / 2, size - size / 2, NULL) < 0 ||
        kh_envelope_end(envelope, NULL) < 0)
        abort();
    kh_envelope_free(envelope);
    end = lseek(fd, 0, SEEK_END);
    bytes = kh_xcalloc(1, (size_t)end);
    if (pread(fd, bytes, (size_t)end, 0) != end)
        abort();
    close(fd);
    *ret_size = (size_t)end;
    return bytes;
}

/* Reads all of it. 0, or why not; *RET_WRONG: it handed out what was never put in. */
static int
look(const uint8_t *bytes, size_t size, size_t right, bool *ret_wrong)
{
    struct kh_envelope *envelope = NULL;
    int fd = memory(bytes, size), r;
    const void *data;
    size_t now, seen = 0;

    *ret_wrong = false;
    r = kh_envelope_open(fd, key, &envelope, NULL);
    while (r == 0 && (r = kh_envelope_get(envelope, &data, &now, NULL)) > 0) {
        *ret_wrong =
            *ret_wrong || now > right - seen || memcmp(data, content + seen, now) != 0;
        seen += now;
        r = 0;
    }
    if (r == 0 && seen != right)
        *ret_wrong = true;
    kh_envelope_free(envelope);
    close(fd);
    return r;
}

static void
test_whole(void)
{
    const size_t sizes[] = {0, 1, 65535, 65536, 65537, CONTENT};
    size_t i, size;
    bool wrong;

    for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint8_t *bytes = make(sizes[i], &size);

        ok(look(bytes, size, sizes[i], &wrong) == 0 && !wrong,
           "%zu bytes come back from %zu", sizes[i], size);
        free(bytes);
    }
}

/* One of: a bit, a byte, cut, more, a piece moved. */
static size_t
mutate(uint8_t *bytes, size_t size, unsigned kind)
{
    size_t at = (size_t)random() % size, other = (size_t)random() % size, n;
    uint8_t saved[64];

    switch (kind % 5) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << random() % 8);
        return size;
    case 1:
        bytes[at] = (uint8_t)(bytes[at] + 1 + random() % 255);
        return size;
    case 2:
        return at;
    case 3:
        bytes[size] = (uint8_t)random();
        return size + 1;
    default:
        n = size - (at > other ? at : other);
        n = n < sizeof(saved) ? n : sizeof(saved);
        memcpy(saved, bytes + at, n);
        memmove(bytes + at, bytes + other, n);
        memcpy(bytes + other, saved, n);
        return size;
    }
}

static void
test_mutations(void)
{
    size_t size;
    uint8_t *good = make(300, &size), *bytes = kh_xcalloc(1, size + 1);
    unsigned i, refused = 0, same = 0, wrong_ones = 0;
    bool wrong;

    srandom(20);
    for (i = 0; i < MUTATIONS; i++) {
        size_t now;

        memcpy(bytes, good, size);
        now = mutate(bytes, size, i);
        if (now == size && !memcmp(bytes, good, size)) {
            same++;
            continue;
        }
        refused += look(bytes, now, 300, &wrong) < 0;
        wrong_ones += wrong;
    }
    is_int(refused + same, MUTATIONS, "every one of %d changed archives is refused",
           MUTATIONS);
    ok(same < MUTATIONS / 50, "(%u were not changed after all)", same);
    is_int(wrong_ones, 0, "and none handed out a byte that was never put in");
    free(bytes);
    free(good);
}

static void
test_others(void)
{
    static const uint8_t other[KH_ENVELOPE_KEY] = "another key";
    struct kh_envelope *envelope = NULL;
    struct kh_error err = {0};
    size_t size, i;
    uint8_t *a = make(CONTENT, &size), *b = make(CONTENT, &size);
    uint8_t *mixed = kh_xmemdup(a, size);
    bool wrong;
    int fd = memory(a, size);

    is_int(kh_envelope_open(fd, other, &envelope, &err), -EKEYREJECTED,
           "another key: %s", err.text);
    close(fd);
    a[20] = '2';
    fd = memory(a, size);
    is_int(kh_envelope_open(fd, key, &envelope, &err), -EPROTO, "another version: %s",
           err.text);
    close(fd);
    a[20] = '1';
    /* The same bytes under the same key: only the heads differ. */
    i = KH_ENVELOPE_HEAD + 4 + KH_ENVELOPE_BLOCK + 32;
    memcpy(mixed + i, b + i, size - i);
    ok(look(mixed, size, CONTENT, &wrong) < 0 && !wrong,
       "a block of another archive with the same bytes is refused");
    memcpy(mixed, b, KH_ENVELOPE_HEAD);
    ok(look(mixed, size, CONTENT, &wrong) < 0, "and so is another's head");
    free(a);
    free(b);
    free(mixed);
}

static int
put_text(int dir, const char *text, mode_t mode)
{
    uint8_t got[KH_ENVELOPE_KEY];
    int fd, r;

    (void)unlinkat(dir, "key", 0);
    fd = openat(dir, "key", O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    if (write(fd, text, strlen(text)) < 0)
        abort();
    close(fd);
    r = kh_key_read(dir, "key", got, NULL);
    return r;
}

static void
test_key(void)
{
    char path[] = "/tmp/kh-key-XXXXXX", text[80];
    uint8_t first[KH_ENVELOPE_KEY] = "", second[KH_ENVELOPE_KEY] = "";
    struct kh_error err = {0};
    struct stat st;
    int dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    is_int(kh_key_own(dir, first, &err), 0, "a key is made %s", err.text);
    is_int(kh_key_own(dir, second, &err), 0, "and found again");
    ok(!memcmp(first, second, sizeof(first)), "the same");
    ok(fstatat(dir, KH_KEY_FILE, &st, 0) == 0 && (st.st_mode & 07777) == 0600,
       "nobody else can read it");
    memset(text, 'a', sizeof(text));
    text[64] = '\0';
    is_int(put_text(dir, text, 0600), 0, "without a newline it is one, too");
    is_int(put_text(dir, text, 0640), -EPERM, "not when a group can read it");
    text[64] = 'a';
    text[65] = '\0';
    is_int(put_text(dir, text, 0600), -EBADMSG, "nor with a digit too many");
    text[63] = '\0';
    is_int(put_text(dir, text, 0600), -EBADMSG, "or too few");
    is_int(put_text(dir, "", 0600), -EBADMSG, "or none");
    is_int(kh_key_read(dir, ".", first, NULL), -EPERM, "nor is a directory");
    close(dir);
    is_int(remove_tree(path), 0, "all is removed");
}

static void
test_info(void)
{
    static const char bytes[] = "\4\0snap\3\0box\7\0default\40\0"
                                "00112233445566778899aabbccddeeff\1\0\0\0\0\0\0\0";
    struct kh_archive_info info;
    size_t size, failed = 0;

    is_int(kh_archive_parse_info(bytes, sizeof(bytes) - 1, &info, NULL), 0,
           "an info is read");
    is_str(info.sandbox, "box", "with what it says");
    for (size = 0; size < sizeof(bytes) - 1; size++)
        failed += kh_archive_parse_info(bytes, size, &info, NULL) == -EBADMSG;
    is_int(failed, sizeof(bytes) - 1, "never a part of it");
}

static void
judge(int code, const char *text, int want, const char *shown)
{
    struct kh_unpack_result result = {.error.code = code};
    struct kh_error err = {0};

    memset(result.error.text, 'x', sizeof(result.error.text));
    if (text)
        snprintf(result.error.text, sizeof(result.error.text), "%s", text);
    is_int(kh_unpack_judge(&result, &err), want, "a child that says %d", code);
    ok(!shown || !strcmp(err.text, shown), "in words: %.80s", err.text);
}

static void
test_judge(void)
{
    judge(0, "", 0, "");
    judge(EBADMSG, "wrong", -EBADMSG, "wrong");
    judge(-EBADMSG, "wrong", -EIO, "wrong");
    judge(INT_MIN, "wrong", -EIO, "wrong");
    judge(4096, "wrong", -EIO, "wrong");
    judge(4095, NULL, -4095, NULL);
    judge(EIO, "a\033[2J\nb\xff", -EIO, "a\\x1b[2J\\x0ab\\xff");
}

/* A fork gets none of an envelope, so no key either. */
static void
test_fork(void)
{
    static const char nothing[64];
    struct kh_envelope *envelope = NULL;
    size_t size;
    uint8_t *bytes = make(300, &size);
    int fd = memory(bytes, size), status = 0;
    const void *data;
    pid_t pid;

    is_int(kh_envelope_open(fd, key, &envelope, NULL), 0, "an envelope is opened");
    ok(memcmp(envelope, nothing, sizeof(nothing)) != 0, "there is something in it");
    pid = fork();
    if (pid == 0)
        _exit(memcmp(envelope, nothing, sizeof(nothing)) != 0);
    ok(waitpid(pid, &status, 0) == pid && status == 0, "and nothing for a child");
    ok(kh_envelope_get(envelope, &data, &size, NULL) == 1 && size == 300,
       "whoever opened it reads on");
    kh_envelope_free(envelope);
    close(fd);
    free(bytes);
}

int
main(void)
{
    size_t i;

    for (i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    test_whole();
    test_mutations();
    test_others();
    test_key();
    test_info();
    test_judge();
    test_fork();
    return done();
}
