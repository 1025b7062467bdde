#include "sandbox/image/fit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/image/below.h"

#define FILE_MAX (1024u * 1024)
#define USER     1000
#define ROOT_ROW "root:x:0:0:root:/root:/bin/sh\n"

static const struct {
    const char *path;
    mode_t mode;
    uid_t owner;
} directories[] = {
    {"dev", 0755, 0},          {"proc", 0755, 0}, {"sys", 0755, 0},
    {"run", 0755, 0},          {"tmp", 01777, 0}, {"etc", 0755, 0},
    {"workspace", 0755, USER}, {"home", 0755, 0}, {"home/user", 0755, USER},
};

/* The same image gives the same layer, whenever it is imported. */
static int
settle(int fd, const char *path, struct kh_error *err)
{
    static const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};

    return futimens(fd, times) < 0
               ? kh_fail_errno(err, "cannot set the time of '/%s'", path)
               : 0;
}

/* True if there is something of that name, or nothing can be put there. */
static bool
taken(const struct kh_unpack *unpack, const char *path)
{
    struct stat st;
    int fd = kh_view_open(unpack->below, path, &st);

    if (fd >= 0)
        close(fd);
    return fd != -ENOENT;
}

static int
put_directory(struct kh_unpack *unpack, size_t i, struct kh_error *err)
{
    AUTO_FD int dir = kh_unpack_directory(unpack, directories[i].path, err);

    if (dir < 0)
        return dir;
    if (fchown(dir, directories[i].owner, directories[i].owner) < 0 ||
        fchmod(dir, directories[i].mode) < 0)
        return kh_fail_errno(err, "cannot make '/%s'", directories[i].path);
    return settle(dir, directories[i].path, err);
}

char *
kh_fit_line(const char *text, const char *line)
{
    const char *at = text;

    while (*at) {
        const char *end = at + strcspn(at, "\n"), *field = at;
        int colons = 0;

        while (field < end && colons < 2)
            colons += *field++ == ':';
        if (colons == 2 && !strncmp(field, "1000:", 5))
            return NULL;
        at = end + (*end == '\n');
    }
    return kh_xasprintf("%s%s%s\n", text, *text && at[-1] != '\n' ? "\n" : "", line);
}

/* A file of the tree as text: "" when there is none, NULL when it is nothing that
 * could be added to. */
static char *
read_text(const struct kh_unpack *unpack, const char *path)
{
    struct stat st;
    int i;

    for (i = 0; i < unpack->below->layers; i++) {
        AUTO_FREE char *text = NULL;
        AUTO_FD int fd = kh_below_open(unpack->below->layer[i], path,
                                       O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
        size_t used = 0;
        ssize_t n;

        if (fd < 0)
            continue;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
            return NULL;
        text = kh_xcalloc(1, FILE_MAX + 1);
        while (used < FILE_MAX && (n = read(fd, text + used, FILE_MAX - used)) > 0)
            used += (size_t)n;
        return memchr(text, 0, used) ? NULL : STEAL_PTR(text);
    }
    return NULL;
}

static int
put_file(struct kh_unpack *unpack, const char *name, const char *text,
         struct kh_error *err)
{
    AUTO_FD int etc = kh_unpack_directory(unpack, "etc", err);
    AUTO_FD int fd = -1;

    if (etc < 0)
        return etc;
    fd = openat(etc, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || kh_fd_write_full(fd, text, strlen(text)) < 0 || fchmod(fd, 0644) < 0)
        return kh_fail_errno(err, "cannot write '/etc/%s'", name);
    unpack->entries++;
    return settle(fd, name, err) < 0 ? -EIO : settle(etc, "etc", err);
}

static int
add_line(struct kh_unpack *unpack, const char *name, const char *line,
         struct kh_error *err)
{
    AUTO_FREE char *path = kh_xasprintf("etc/%s", name);
    AUTO_FREE char *text = NULL, *more = NULL;
    struct stat st;
    int fd = kh_view_open(unpack->below, path, &st);

    if (fd == -ENOENT)
        text = kh_xstrdup(!strcmp(name, "passwd") ? ROOT_ROW : "root:x:0:\n");
    else if (fd >= 0 && S_ISREG(st.st_mode))
        text = read_text(unpack, path);
    if (fd >= 0)
        close(fd);
    more = text ? kh_fit_line(text, line) : NULL;
    return more ? put_file(unpack, name, more, err) : 0;
}

int
kh_fit(struct kh_unpack *unpack, struct kh_error *err)
{
    char found[KH_PATH_MAX + 1], line[80];
    struct stat st;
    size_t i;
    int r = 0, bash;

    for (i = 0; r == 0 && i < KH_COUNT(directories); i++)
        if (!taken(unpack, directories[i].path))
            r = put_directory(unpack, i, err);
    bash = kh_view_find(unpack->below, "bin/bash", found, &st);
    if (bash >= 0)
        close(bash);
    snprintf(line, sizeof(line), "user:x:1000:1000:user:/home/user:%s",
             bash >= 0 ? "/bin/bash" : "/bin/sh");
    if (r == 0)
        r = add_line(unpack, "passwd", line, err);
    return r < 0 ? r : add_line(unpack, "group", "user:x:1000:", err);
}
