/* Layers as one tree, and the digest of a tree; on directories in /tmp. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"
#include "sandbox/host/tree.h"
#include "sandbox/image/seal.h"
#include "sandbox/image/view.h"
#include "sandbox/image/wire.h"
#include "tests/tap.h"

static char top[] = "/tmp/kh-image-XXXXXX";
static int root;

/* "PATH" with a slash at its end: a directory; "PATH>TARGET": a link; else a file with
 * its own name in it. Directories above it are there. */
static void
make(const char *layer, const char *what)
{
    AUTO_FREE char *path = kh_xasprintf("%s/%s", layer, what);
    const struct timespec times[2] = {{1, 0}, {1, 0}};
    char *arrow = strchr(path, '>');
    int fd;

    if (arrow) {
        *arrow = '\0';
        ok(symlinkat(arrow + 1, root, path) == 0, "a link '%s'", what);
        utimensat(root, path, times, AT_SYMLINK_NOFOLLOW);
    } else if (path[strlen(path) - 1] == '/') {
        ok(mkdirat(root, path, 0755) == 0, "a directory '%s'", what);
    } else {
        fd = openat(root, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        ok(fd >= 0 && write(fd, what, strlen(what)) > 0, "a file '%s'", what);
        futimens(fd, times);
        close(fd);
    }
}

static int
layer(const char *name)
{
    mkdirat(root, name, 0755);
    return openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* What FIND of PATH is: its name without links, or an error. */
static const char *
found(const struct kh_view *view, const char *path)
{
    static char where[KH_PATH_MAX + 1];
    struct stat st;
    int fd = kh_view_find(view, path, where, &st);

    if (fd < 0)
        return fd == -ENOENT ? "ENOENT" : fd == -ELOOP ? "ELOOP" : "error";
    close(fd);
    return where;
}

static void
views(void)
{
    struct kh_view view = {{layer("up"), layer("low")}, 2, KH_IMPORT_OPAQUE};
    int dir;

    make("low", "bin>usr/bin");
    make("low", "usr/");
    make("low", "usr/bin/");
    make("low", "usr/bin/python3>python3.11");
    make("low", "usr/bin/python3.11");
    make("low", "abs>/usr/bin");
    make("low", "out>../../../../etc/passwd");
    make("low", "etc/");
    make("low", "etc/passwd");
    make("low", "loop>loop");
    make("low", "hidden/");
    make("low", "hidden/x");
    make("low", "over/");
    make("low", "over/x");
    make("up", "usr/");
    make("up", "usr/new");
    make("up", "hidden/");
    make("up", "over>usr");
    dir = openat(view.layer[0], "hidden", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ok(fsetxattr(dir, KH_IMPORT_OPAQUE, "y", 1, 0) == 0, "an opaque directory");
    close(dir);
    is_str(found(&view, "bin/python3"), "usr/bin/python3.11", "links across layers");
    is_str(found(&view, "abs/python3"), "usr/bin/python3.11", "absolute ones, inside");
    is_str(found(&view, "out"), "etc/passwd", "'..' stops at the root");
    is_str(found(&view, "usr/new"), "usr/new", "of the upper layer");
    is_str(found(&view, "loop/x"), "ELOOP", "a loop");
    is_str(found(&view, "hidden/x"), "ENOENT", "an opaque directory hides");
    is_str(found(&view, "over/x"), "ENOENT", "a link over a directory hides it");
    is_str(found(&view, "over/bin/python3.11"), "usr/bin/python3.11", "and leads on");
    is_str(found(&view, "usr/bin/python3.11/x"), "error", "a file is no directory");
    close(view.layer[0]);
    close(view.layer[1]);
}

static bool
digest(const char *name, struct kh_sealed *sealed)
{
    AUTO_FD int dir = layer(name);
    struct kh_error err = {0};

    if (kh_seal(dir, NULL, sealed, &err) == 0)
        return true;
    printf("# %s\n", err.text);
    return false;
}

static void
fill(const char *name)
{
    const struct timespec times[2] = {{1, 0}, {1, 0}};
    AUTO_FREE char *a = kh_xasprintf("%s/d", name);
    AUTO_FREE char *from = kh_xasprintf("%s/f", name), *to = kh_xasprintf("%s/g", name);

    close(layer(name));
    make(name, "d/");
    make(name, "d/x");
    make(name, "l>d/x");
    make(name, "f");
    ok(linkat(root, from, root, to, 0) == 0, "a hard link");
    utimensat(root, a, times, 0);
}

static void
seals(void)
{
    struct kh_sealed one, two, odd;
    struct kh_error err = {0};
    int dir;

    fill("one");
    fill("two");
    ok(digest("one", &one) && digest("two", &two), "two trees are sealed");
    is_str(one.id, two.id, "what holds the same is the same");
    ok(one.entries == 5 && one.bytes == 4, "entries, and bytes once (%llu, %llu)",
       (unsigned long long)one.entries, (unsigned long long)one.bytes);
    ok(fchmodat(root, "two/d/x", 0600, 0) == 0 && digest("two", &odd) &&
           strcmp(odd.id, one.id) != 0,
       "a mode is a difference");
    ok(fchmodat(root, "two/d/x", 0644, 0) == 0, "it is put back");
    make("two", "e/");
    ok(digest("two", &odd) && strcmp(odd.id, one.id) != 0, "an entry is");
    ok(mkfifoat(root, "two/fifo", 0600) == 0, "a FIFO");
    dir = layer("two");
    is_int(kh_seal(dir, NULL, &odd, &err), -EBADMSG, "is refused");
    ok(strstr(err.text, "'fifo'"), "by name (%s)", err.text);
    unlinkat(dir, "fifo", 0);
    ok(fchmodat(dir, "f", 04755, 0) == 0, "a set-id bit");
    is_int(kh_seal(dir, NULL, &odd, &err), -EBADMSG, "is refused");
    ok(fchmodat(dir, "f", 0644, 0) == 0, "it is put back");
    close(dir);
}

int
main(void)
{
    struct kh_error err = {0};

    if (!mkdtemp(top) || chdir(top) < 0)
        return 1;
    root = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    views();
    seals();
    ok(kh_tree_empty(root, &err) == 0 && rmdir(top) == 0, "all is removed");
    return done();
}
