/* Names in foreign archives; lines of passwd. */
#include <errno.h>
#include <stdlib.h>

#include "base/clean.h"
#include "base/mem.h"
#include "sandbox/image/fit.h"
#include "sandbox/image/path.h"
#include "tests/tap.h"

#define HEX32 "0123456789abcdef0123456789abcdef"

static void
good(void)
{
    static const struct {
        const char *text, *parent, *name;
        enum kh_path_kind kind;
    } rows[] = {
        {"a", ".", "a", KH_PATH_PLAIN},
        {"./usr//bin/./x/", "usr/bin", "x", KH_PATH_PLAIN},
        {".", ".", "", KH_PATH_ROOT},
        {"./", ".", "", KH_PATH_ROOT},
        {"...", ".", "...", KH_PATH_PLAIN},
        {"a/..b", "a", "..b", KH_PATH_PLAIN},
        {"a/.wh.b", "a", "b", KH_PATH_WHITEOUT},
        {".wh.b", ".", "b", KH_PATH_WHITEOUT},
        {"a/.wh..wh..opq", "a", ".wh..wh..opq", KH_PATH_OPAQUE},
        {"a/.wh..wh.plnk", "a", ".wh..wh.plnk", KH_PATH_AUFS},
        {"a/.wh..hidden", "a", ".hidden", KH_PATH_WHITEOUT},
        {"a/.wh", "a", ".wh", KH_PATH_PLAIN},
        {".wh.a/b", ".wh.a", "b", KH_PATH_PLAIN},
    };
    struct kh_path path;
    size_t i;

    for (i = 0; i < KH_COUNT(rows); i++) {
        is_int(kh_path_read(rows[i].text, &path, NULL), 0, "'%s' is read",
               rows[i].text);
        is_str(path.parent, rows[i].parent, "its directory");
        is_str(path.name, rows[i].name, "its name");
        is_int(path.kind, rows[i].kind, "its kind");
    }
}

/* COUNT times TEXT, then END. */
static char *
many(const char *text, unsigned count, const char *end)
{
    size_t length = strlen(text);
    char *all = kh_xcalloc(1, length * count + strlen(end) + 1);

    for (unsigned i = 0; i < count; i++)
        memcpy(all + i * length, text, length);
    memcpy(all + count * length, end, strlen(end));
    return all;
}

static void
bad(void)
{
    AUTO_FREE char *deep = many("a/", KH_PATH_DEPTH, "b");
    AUTO_FREE char *most = many("a/", KH_PATH_DEPTH - 1, "b");
    AUTO_FREE char *part = many("x", 256, "");
    AUTO_FREE char *large = many("xxxxxxx/", 512, "");
    AUTO_FREE char *huge = many("x", 1 << 20, "");
    const struct {
        const char *text, *why;
    } rows[] = {
        {"", "empty"},        {"/etc/passwd", "absolute"}, {"//", "absolute"},
        {"..", "leads out"},  {"a/../b", "leads out"},     {"a/..", "leads out"},
        {".wh.", "whiteout"}, {"a/.wh..", "whiteout"},     {"a/.wh...", "whiteout"},
        {deep, "deeper"},     {part, "part over"},         {large, "longer"},
        {huge, "longer"},
    };
    struct kh_error err;
    struct kh_path path;
    size_t i;

    for (i = 0; i < KH_COUNT(rows); i++) {
        is_int(kh_path_read(rows[i].text, &path, &err), -EBADMSG, "'%.20s' is refused",
               rows[i].text);
        ok(strstr(err.text, rows[i].why), "for the right reason (%s)", err.text);
    }
    is_int(kh_path_read(most, &path, NULL), 0, "%d levels are taken", KH_PATH_DEPTH);
}

static void
joins(void)
{
    char out[KH_PATH_MAX + 1];

    ok(kh_path_join("b/layer.tar", "../a/layer.tar", out, NULL) == 0 &&
           !strcmp(out, "a/layer.tar"),
       "docker's link to another layer");
    ok(kh_path_join("b/c", "d", out, NULL) == 0 && !strcmp(out, "b/d"), "beside it");
    is_int(kh_path_join("b/c", "../../d", out, NULL), -EBADMSG, "out of the archive");
    is_int(kh_path_join("b/c", "/etc/passwd", out, NULL), 0, "never absolute");
    is_str(out, "b/etc/passwd", "but below");
    is_int(kh_path_join("b/c", "d/../e", out, NULL), -EBADMSG, "'..' inside");
}

static void
tables(void)
{
    ok(kh_path_of_archive("manifest.json") && kh_path_of_archive("./oci-layout") &&
           kh_path_of_archive("blobs/sha256/" HEX32 HEX32) &&
           kh_path_of_archive(HEX32 HEX32 "/layer.tar") &&
           kh_path_of_archive(HEX32 HEX32 ".json"),
       "names of container archives");
    ok(!kh_path_of_archive("etc/") && !kh_path_of_archive("./") &&
           !kh_path_of_archive(HEX32 HEX32 "0") && !kh_path_of_archive("blobs/x"),
       "names of root filesystems");
    ok(kh_path_of_layout("blobs/sha256/" HEX32 HEX32) &&
           kh_path_of_layout("index.json"),
       "what may be asked for");
    ok(!kh_path_of_layout("blobs/sha256/../../etc/passwd") && !kh_path_of_layout("") &&
           !kh_path_of_layout("blobs/sha256/" HEX32) &&
           !kh_path_of_layout("/index.json"),
       "and what not");
}

static void
lines(void)
{
    static const char line[] = "user:x:1000:";
    AUTO_FREE char *empty = kh_fit_line("", line);
    AUTO_FREE char *cut = kh_fit_line("root:x:0:0", line);
    AUTO_FREE char *other = kh_fit_line("a:1000:10000:\nb\n::\n", line);

    is_str(empty, "user:x:1000:\n", "an empty file gets the line");
    is_str(cut, "root:x:0:0\nuser:x:1000:\n", "one without a newline too");
    is_str(other, "a:1000:10000:\nb\n::\nuser:x:1000:\n", "1000 elsewhere is not it");
    ok(!kh_fit_line("root:x:0:0:\nnode:x:1000:1000::/:\n", line), "1000 is there");
    ok(!kh_fit_line("node:x:1000:", line), "in the last line too");
}

int
main(void)
{
    good();
    bad();
    joins();
    tables();
    lines();
    return done();
}
