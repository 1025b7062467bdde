/* The memory of sandboxes that sleep, as files of a state directory; and what CRIU's
 * log says of a failure. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "sandbox/host/criu.h"
#include "sandbox/host/memory.h"
#include "tests/tap.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C "cccccccccccccccccccccccccccccccc"

static const unsigned char pages[8192] = {1};

/* Of CRIU 4: a map of 65536 ids from 65536 on, for users and groups. */
static const unsigned char userns[] = {
    0x19, 0x43, 0x56, 0x54, 0x06, 0x49, 0x47, 0x55, 0x18, 0x00, 0x00, 0x00,
    0x0a, 0x0a, 0x08, 0x00, 0x10, 0x80, 0x80, 0x04, 0x18, 0x80, 0x80, 0x04,
    0x12, 0x0a, 0x08, 0x00, 0x10, 0x80, 0x80, 0x04, 0x18, 0x80, 0x80, 0x04};
/* The same from 0x60000000 on: the number takes five bytes. */
static const unsigned char moved[] = {
    0x19, 0x43, 0x56, 0x54, 0x06, 0x49, 0x47, 0x55, 0x1c, 0x00, 0x00, 0x00, 0x0a, 0x0c,
    0x08, 0x00, 0x10, 0x80, 0x80, 0x80, 0x80, 0x06, 0x18, 0x80, 0x80, 0x04, 0x12, 0x0c,
    0x08, 0x00, 0x10, 0x80, 0x80, 0x80, 0x80, 0x06, 0x18, 0x80, 0x80, 0x04};

static void
put(int dir, const char *name, const void *data, size_t size)
{
    if (kh_fd_replace_file(dir, name, data, size, 0600, NULL) < 0)
        abort();
}

static void
put_program(int dir, const char *name)
{
    put(dir, name, "", 0);
    if (fchmodat(dir, name, 0755, 0) < 0)
        abort();
}

static bool
holds(int dir, const char *name, const void *want, size_t size)
{
    AUTO_FREE char *data = NULL;
    size_t got = 0;

    return kh_fd_read_file(dir, name, 65536, &data, &got, NULL) == 0 && got == size &&
           !memcmp(data, want, size);
}

static bool
is_there(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static ino_t
inode(int dir, const char *name)
{
    struct stat st = {0};

    (void)fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
    return st.st_ino;
}

static void
commits(const struct kh_store *store)
{
    const struct kh_birth birth = {.pid = 7, .id_first = 65536, .slot = 3, .boot = 99};
    char path[KH_MEMORY_PATH], wholes[KH_MEMORY_PATH];
    struct kh_birth read = {0};
    struct kh_error err = {0};
    uint64_t bytes = 0;
    int dir, other;

    is_int(kh_memory_open(store, ID_A, NULL, NULL, NULL, &err), -ENOENT,
           "there is none yet");
    dir = kh_memory_begin(store, ID_A, path, &err);
    ok(dir >= 0 && strstr(path, "/memory/" ID_A ".new"), "one is begun in %s", path);
    is_int(kh_memory_begin(store, ID_A, wholes, &err), -EWOULDBLOCK,
           "not by two at once");
    put(dir, "pages-1.img", pages, sizeof(pages));
    put(dir, "userns-9.img", userns, sizeof(userns));
    put(dir, "criu.log", "x", 1);
    put(dir, "stats-dump", "x", 1);
    close(dir);
    dir = kh_memory_begin(store, ID_A, path, &err);
    ok(dir >= 0 && !is_there(dir, "pages-1.img"), "a second attempt begins empty");
    put(dir, "pages-1.img", pages, sizeof(pages));
    put(dir, "userns-9.img", userns, sizeof(userns));
    put(dir, "criu.log", "x", 1);
    put(dir, "stats-dump", "x", 1);
    is_int(kh_memory_sync(dir, &err), 0, "it is brought to the disk");
    ok(kh_memory_open(store, ID_A, NULL, NULL, NULL, NULL) == -ENOENT,
       "and is nothing before it is committed");
    is_int(kh_memory_commit(store, ID_A, &birth, &err), 0, "it is committed");
    other = kh_memory_open(store, ID_A, wholes, &read, &bytes, &err);
    ok(other >= 0 && read.pid == 7 && read.boot == 99 && read.slot == 3,
       "with its birth");
    ok(bytes >= sizeof(pages) && !strchr(strstr(wholes, "/memory/"), '.'),
       "%llu bytes in %s", (unsigned long long)bytes, wholes);
    put(other, KH_BIRTH_FILE, "nonsense", 8);
    is_int(kh_memory_open(store, ID_A, NULL, NULL, NULL, &err), -EBADMSG,
           "a birth that cannot be is refused");
    close(dir);
    dir = kh_memory_begin(store, ID_A, path, &err);
    is_int(kh_memory_commit(store, ID_A, &birth, &err), -ENOTEMPTY,
           "one that is whole is not replaced");
    close(dir);
    close(other);
    kh_memory_drop(store, ID_A);
    ok(!is_there(store->memory, ID_A) && !is_there(store->memory, ID_A ".new"),
       "both are dropped");
}

static int
make(const struct kh_store *store, const char *id)
{
    const struct kh_birth birth = {.pid = 7, .id_first = 65536};
    char path[KH_MEMORY_PATH];
    int dir = kh_memory_begin(store, id, path, NULL);

    put(dir, "pages-1.img", pages, sizeof(pages));
    put(dir, "userns-9.img", userns, sizeof(userns));
    put(dir, "criu.log", "x", 1);
    put(dir, "stats-dump", "x", 1);
    close(dir);
    kh_memory_commit(store, id, &birth, NULL);
    return kh_memory_open(store, id, NULL, NULL, NULL, NULL);
}

static void
shares(const struct kh_store *store)
{
    struct kh_error err = {0};
    int a = make(store, ID_A), b, copy;

    is_int(kh_memory_share(store, a, ID_B, &err), 0, "a memory is shared");
    b = kh_memory_open(store, ID_B, NULL, NULL, NULL, &err);
    ok(b >= 0 && inode(a, "pages-1.img") == inode(b, "pages-1.img"),
       "the pages are the same file");
    ok(!is_there(b, "criu.log") && !is_there(b, "stats-dump"),
       "what CRIU writes is not");
    ok(kh_memory_share(store, a, ID_B, &err) < 0, "no other one is replaced by it");
    ok(!is_there(store->memory, ID_B ".new"), "and nothing is left of the attempt");
    is_int(kh_memory_map(b, 0x60000000, &err), 0, "it is mapped to other ids");
    ok(holds(b, "userns-9.img", moved, sizeof(moved)), "of which CRIU reads");
    ok(holds(a, "userns-9.img", userns, sizeof(userns)), "the shared one is as it was");
    is_int(kh_memory_copy(store, ID_A, store->trash, "memory", &err), 0,
           "it is copied to a snapshot");
    copy = openat(store->trash, "memory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ok(copy >= 0 && is_there(copy, KH_BIRTH_FILE), "with its birth");
    is_int(kh_memory_copy(store, ID_C, store->trash, "none", &err), -ENOENT,
           "what is not there is not");
    put(b, "userns-9.img", "no image of it", 14);
    is_int(kh_memory_map(b, 65536, &err), -EBADMSG, "another file is no map");
    put(b, "userns-9.img", userns, 5);
    is_int(kh_memory_map(b, 65536, &err), -EBADMSG, "nor is half of one");
    unlinkat(b, "userns-9.img", 0);
    is_int(kh_memory_map(b, 65536, &err), -EBADMSG, "without one nothing is made");
    close(copy);
    close(b);
    close(a);
}

static bool
keep(void *arg, const char *id)
{
    return !strcmp(id, arg);
}

static void
sweeps(const struct kh_store *store)
{
    char path[KH_MEMORY_PATH], id[] = ID_A;

    close(kh_memory_begin(store, ID_C, path, NULL));
    kh_memory_sweep(store, keep, id);
    ok(is_there(store->memory, ID_A), "a sweep leaves what is wanted");
    ok(!is_there(store->memory, ID_B) && !is_there(store->memory, ID_C ".new"),
       "and neither another nor half a one");
    kh_memory_drop(store, ID_A);
}

static void
reasons(void)
{
    static const struct {
        const char *log, *want;
    } table[] = {
        {"", ""},
        {"(00.1) Warn  (criu/x.c:1): this is none\n", ""},
        {"(00.1) Error (criu/files.c:1): Can't dump x\n", "Can't dump x"},
        {"(00.1) Error (criu/rlimit.c:9): rlimit: Can't setup 3: no\n"
         "(00.2) Error (criu/mnt.c:2): first\n(00.3) Error (criu/cr.c:3): second\n",
         "first"},
        {"(00.1) Error (criu/rlimit.c:9): rlimit: Can't setup 3: no\n", ""},
        {"(00.1) Error (without an end", "Error (without an end"},
        {"(00.1) Error (criu/seize.c:1): Timeout reached. Try to interrupt: 0\n",
         "a process could not be stopped just then (hint: try again)"},
        {"Error (a): \x1b[2Jname\x7f\xff\n", "\\x1b[2Jname\\x7f\\xff"},
    };
    char out[100];
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++) {
        char log[256];

        snprintf(log, sizeof(log), "%s", table[i].log);
        kh_criu_cause(log, out, sizeof(out));
        is_str(out, table[i].want, "the cause is '%s'", table[i].want);
    }
}

static void
finds(int dir, const char *path)
{
    char hook[64], none[64];
    struct kh_criu criu = {{0}};
    struct kh_error err = {0};

    snprintf(hook, sizeof(hook), "%s/hook", path);
    snprintf(none, sizeof(none), "%s/none", path);
    mkdirat(dir, "usr", 0700);
    mkdirat(dir, "usr/sbin", 0700);
    mkdirat(dir, "usr/lib64", 0700);
    put_program(dir, "usr/sbin/criu");
    put_program(dir, "usr/lib64/ld-linux-x86-64.so.2");
    ok(kh_criu_find(path, none, &criu, &err) < 0 && !criu.program[0] &&
           strstr(err.text, "/none"),
       "no criu without a hook: %s", err.text);
    put_program(dir, "hook");
    is_int(kh_criu_find(path, hook, &criu, &err), 0, "the one beside us is found");
    ok(strstr(criu.program, path) && strstr(criu.loader, "/ld-linux") &&
           !strcmp(criu.hook, hook),
       "with its loader and the hook");
    unlinkat(dir, "usr/lib64/ld-linux-x86-64.so.2", 0);
    ok(kh_criu_find(path, hook, &criu, &err) < 0 || !strstr(criu.program, path),
       "without its loader it is not taken");
}

int
main(void)
{
    char path[] = "/tmp/kh-memory-XXXXXX";
    struct kh_error err = {0};
    struct kh_store store;
    int dir;

    reasons();
    if (geteuid() != 0) {
        skip("what lies in a store", "it belongs to root");
        return done();
    }
    if (!mkdtemp(path))
        return 1;
    if (!ok(kh_store_open(path, -1, &store, &err) == 0, "a store is made %s", err.text))
        return done();
    commits(&store);
    shares(&store);
    sweeps(&store);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    finds(dir, path);
    close(dir);
    kh_store_close(&store);
    is_int(remove_tree(path), 0, "and removed");
    return done();
}
