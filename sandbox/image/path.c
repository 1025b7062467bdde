#include "sandbox/image/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"

#define HEX "0123456789abcdef"

const char *
kh_path_show(const char *text, char out[KH_PATH_SHOWN])
{
    return kh_log_clean(text, strlen(text), out, KH_PATH_SHOWN);
}

static int
fail(struct kh_error *err, const char *text, const char *why)
{
    char shown[KH_PATH_SHOWN];

    return kh_fail(err, EBADMSG, "the archive's name '%s' %s",
                   kh_path_show(text, shown), why);
}

/* Copies TEXT to CLEAN without empty and "." components. Returns how many are left. */
static int
clean(const char *text, char *clean, struct kh_error *err)
{
    const char *at = text;
    size_t used = 0;
    int count = 0;

    if (*text == '/')
        return fail(err, text, "is absolute");
    if (strlen(text) > KH_PATH_MAX)
        return fail(err, text, "is longer than 4095 bytes");
    while (*at) {
        size_t length = strcspn(at, "/");

        if (length == 2 && at[0] == '.' && at[1] == '.')
            return fail(err, text, "leads out of it ('..')");
        if (length > 255)
            return fail(err, text, "has a part over 255 bytes");
        if (length && !(length == 1 && *at == '.')) {
            if (count++ == KH_PATH_DEPTH)
                return fail(err, text, "is deeper than 64 directories");
            if (used)
                clean[used++] = '/';
            memcpy(clean + used, at, length);
            used += length;
        }
        at += length + (at[length] == '/');
    }
    clean[used] = '\0';
    return count;
}

static int
whiteout(const char *text, struct kh_path *path, struct kh_error *err)
{
    const char *hidden = path->name + strlen(".wh.");

    if (!strcmp(hidden, ".wh..opq"))
        path->kind = KH_PATH_OPAQUE;
    else if (!strncmp(hidden, ".wh.", 4))
        path->kind = KH_PATH_AUFS;
    else if (!*hidden || !strcmp(hidden, ".") || !strcmp(hidden, ".."))
        return fail(err, text, "is a whiteout of nothing");
    else
        path->kind = KH_PATH_WHITEOUT;
    if (path->kind == KH_PATH_WHITEOUT)
        memmove(path->name, hidden, strlen(hidden) + 1);
    return 0;
}

int
kh_path_read(const char *text, struct kh_path *ret_path, struct kh_error *err)
{
    struct kh_path path = {.kind = KH_PATH_PLAIN, .parent = "."};
    char whole[KH_PATH_MAX + 1];
    char *slash, *last;
    int count, r = 0;

    if (!*text)
        return fail(err, text, "is empty");
    count = clean(text, whole, err);
    if (count < 0)
        return count;
    slash = strrchr(whole, '/');
    if (slash) {
        *slash = '\0';
        memcpy(path.parent, whole, (size_t)(slash - whole) + 1);
    }
    last = slash ? slash + 1 : whole;
    memcpy(path.name, last, strlen(last) + 1); /* a component: at most 255 bytes */
    if (count == 0)
        path.kind = KH_PATH_ROOT;
    else if (!strncmp(path.name, ".wh.", 4))
        r = whiteout(text, &path, err);
    if (r == 0)
        *ret_path = path;
    return r;
}

void
kh_path_whole(const struct kh_path *path, char out[KH_PATH_MAX + 1])
{
    size_t used = 0, length = strlen(path->name);

    if (strcmp(path->parent, ".") != 0) {
        used = strlen(path->parent);
        memcpy(out, path->parent, used);
        out[used++] = '/';
    }
    /* Both came out of one name that fits. */
    memcpy(out + used, path->name, length + 1);
    if (!*out)
        memcpy(out, ".", 2);
}

int
kh_path_join(const char *name, const char *target, char out[KH_PATH_MAX + 1],
             struct kh_error *err)
{
    char base[KH_PATH_MAX + 1], joined[2 * KH_PATH_MAX + 2], *slash;
    const char *rest = target;
    int r = clean(name, base, err);

    if (r < 0)
        return r;
    slash = strrchr(base, '/');
    *(slash ? slash : base) = '\0';
    while (!strncmp(rest, "../", 3)) {
        if (!*base)
            return fail(err, target, "leads out of it ('..')");
        slash = strrchr(base, '/');
        *(slash ? slash : base) = '\0';
        rest += 3;
    }
    if (strlen(rest) > KH_PATH_MAX)
        return fail(err, target, "is longer than 4095 bytes");
    snprintf(joined, sizeof(joined), "%s%s%s", base, *base && *rest != '/' ? "/" : "",
             rest);
    r = clean(joined, out, err);
    return r < 0 ? r : 0;
}

/* 64 hex digits and then one of ENDS ("" stands for the end of the text). */
static bool
is_digest(const char *text, const char *const *ends)
{
    size_t i;

    if (strspn(text, HEX) != 64)
        return false;
    for (i = 0; ends[i]; i++)
        if (!strcmp(text + 64, ends[i]))
            return true;
    return false;
}

bool
kh_path_of_archive(const char *text)
{
    static const char *const tops[] = {"manifest.json", "repositories", "index.json",
                                       "oci-layout",    "blobs",        "blobs/",
                                       "blobs/sha256",  "blobs/sha256/"};
    static const char *const ends[] = {"",         ".json",      ".tar",  "/",
                                       "/VERSION", "/layer.tar", "/json", NULL};
    static const char *const none[] = {"", NULL};
    size_t i;

    while (!strncmp(text, "./", 2))
        text += 2;
    for (i = 0; i < KH_COUNT(tops); i++)
        if (!strcmp(text, tops[i]))
            return true;
    if (!strncmp(text, "blobs/sha256/", 13))
        return is_digest(text + 13, none);
    return is_digest(text, ends);
}

bool
kh_path_of_layout(const char *text)
{
    static const char *const none[] = {"", NULL};

    return !strcmp(text, "index.json") || !strcmp(text, "oci-layout") ||
           (!strncmp(text, "blobs/sha256/", 13) && is_digest(text + 13, none));
}
