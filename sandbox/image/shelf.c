#include "sandbox/image/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/tree.h"
#include "sandbox/image/digest.h"

#define HEAD     "kernelhost-image 1"
#define LIST_MAX 8192u
#define BUILD    ".build-"

static int
open_dir(int parent, const char *name, mode_t mode, bool make, struct kh_error *err)
{
    int fd;

    if (make && mkdirat(parent, name, mode) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make directory '%s'", name);
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? kh_fail_errno(err, "cannot open directory '%s'", name) : fd;
}

int
kh_shelf_open(const char *state, bool make, struct kh_shelf *ret_shelf,
              struct kh_error *err)
{
    struct kh_shelf shelf = {-1, -1, -1, -1, -1, -1};
    const struct {
        const char *name;
        mode_t mode;
        int *fd;
    } dirs[] = {
        {"layers", 0700, &shelf.layers},      {"images", 0700, &shelf.images},
        {"images/names", 0755, &shelf.names}, {"images/id", 0755, &shelf.ids},
        {"images/info", 0755, &shelf.info},
    };
    size_t i;
    int r = 0;

    shelf.state = open_dir(AT_FDCWD, state, 0711, make, err);
    if (shelf.state < 0)
        r = shelf.state;
    for (i = 0; r == 0 && i < KH_COUNT(dirs); i++) {
        *dirs[i].fd = open_dir(shelf.state, dirs[i].name, dirs[i].mode, make, err);
        r = *dirs[i].fd < 0 ? *dirs[i].fd : 0;
        if (r == -ENOENT && !strcmp(dirs[i].name, "images/info"))
            r = 0;
    }
    if (r < 0) {
        kh_shelf_close(&shelf);
        return kh_fail_in(err, "state directory '%s'", state);
    }
    *ret_shelf = shelf;
    return 0;
}

void
kh_shelf_close(struct kh_shelf *shelf)
{
    kh_fd_close(&shelf->layers);
    kh_fd_close(&shelf->images);
    kh_fd_close(&shelf->names);
    kh_fd_close(&shelf->ids);
    kh_fd_close(&shelf->info);
    kh_fd_close(&shelf->state);
}

int
kh_shelf_remove_tree(int parent, const char *name, struct kh_error *err)
{
    AUTO_FD int dir =
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int r = dir < 0 ? kh_fail_errno(err, "cannot open '%s' to remove it", name)
                    : kh_tree_empty(dir, err);

    if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0)
        r = kh_fail_errno(err, "cannot remove '%s'", name);
    return r;
}

/* Calls EACH for every name in DIR that begins with PREFIX. */
static int
sweep(int dir, const char *prefix, bool tree, struct kh_error *err)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    int r = 0;

    if (!list) {
        if (copy >= 0)
            close(copy);
        return copy < 0 ? 0 : kh_fail_errno(err, "cannot sweep the store");
    }
    while (r == 0 && (entry = readdir(list))) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        if (tree)
            r = kh_shelf_remove_tree(dir, entry->d_name, err);
        else
            (void)unlinkat(dir, entry->d_name, 0);
    }
    closedir(list);
    return r;
}

int
kh_shelf_lock(struct kh_shelf *shelf, void (*waiting)(void), struct kh_error *err)
{
    if (flock(shelf->layers, LOCK_EX | LOCK_NB) < 0) {
        waiting();
        if (flock(shelf->layers, LOCK_EX) < 0)
            return kh_fail_errno(err, "cannot lock the image store");
    }
    sweep(shelf->names, ".new-", false, err);
    sweep(shelf->ids, ".new-", false, err);
    sweep(shelf->info, ".new-", false, err);
    return sweep(shelf->layers, BUILD, true, err);
}

int
kh_shelf_temp(struct kh_shelf *shelf, char ret_name[KH_SHELF_TEMP],
              struct kh_error *err)
{
    unsigned nonce;
    int fd;

    kh_random(&nonce, sizeof(nonce));
    snprintf(ret_name, KH_SHELF_TEMP, BUILD "%08x", nonce);
    if (mkdirat(shelf->layers, ret_name, 0755) < 0)
        return kh_fail_errno(err, "cannot make a directory in the image store");
    fd = openat(shelf->layers, ret_name,
                O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fchmod(fd, 0755) < 0)
        return kh_fail_errno(err, "cannot open a directory in the image store");
    return fd;
}

int
kh_shelf_sync(struct kh_shelf *shelf, struct kh_error *err)
{
    return syncfs(shelf->layers) < 0 ? kh_fail_errno(err, "cannot write to the disk")
                                     : 0;
}

int
kh_shelf_keep(struct kh_shelf *shelf, const char *temp, const char *id,
              bool *ret_shared, struct kh_error *err)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    struct stat st;

    *ret_shared = fstatat(shelf->layers, id, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (*ret_shared)
        return kh_shelf_remove_tree(shelf->layers, temp, err);
    (void)utimensat(shelf->layers, temp, times, AT_SYMLINK_NOFOLLOW);
    if (renameat(shelf->layers, temp, shelf->layers, id) < 0 ||
        fsync(shelf->layers) < 0)
        return kh_fail_errno(err, "cannot put the layer into the store");
    return 0;
}

/* PATH's content, whole or not at all. */
static int
put(int dir, const char *name, const char *text, struct kh_error *err)
{
    AUTO_FREE char *temp = kh_xasprintf(".new-%s", name);
    AUTO_FD int fd = -1;

    (void)unlinkat(dir, temp, 0);
    fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || kh_fd_write_full(fd, text, strlen(text)) < 0 || fsync(fd) < 0 ||
        renameat(dir, temp, dir, name) < 0 || fsync(dir) < 0)
        return kh_fail_errno(err, "cannot register '%s'", name);
    return 0;
}

int
kh_shelf_register(struct kh_shelf *shelf, const char *name,
                  struct kh_shelf_image *image, const char *info, struct kh_error *err)
{
    AUTO(kh_digest) struct kh_digest *sum = kh_digest_new();
    struct kh_buf text = KH_BUF_INIT;
    char digest[KH_DIGEST_TEXT], line[KH_ID_TEXT + 1];
    unsigned i;
    int r;

    kh_buf_addf(&text, HEAD "\n");
    for (i = 0; i < image->layers; i++)
        kh_buf_addf(&text, "layer %s\n", image->layer[i]);
    kh_digest_add(sum, kh_buf_ptr(&text), kh_buf_len(&text));
    kh_digest_text(sum, digest);
    snprintf(image->id, sizeof(image->id), "%.32s", digest + strlen("sha256:"));
    kh_buf_add(&text, "", 1);
    r = put(shelf->ids, image->id, kh_buf_ptr(&text), err);
    kh_buf_release(&text);
    snprintf(line, sizeof(line), "%s\n", image->id);
    if (r == 0)
        r = put(shelf->info, image->id, info, err);
    return r < 0 ? r : put(shelf->names, name, line, err);
}

int
kh_shelf_find(const struct kh_shelf *shelf, const char *name, char ret_id[KH_ID_TEXT],
              struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    int r = kh_fd_read_file(shelf->names, name, LIST_MAX, &text, NULL, err);

    if (r == -ENOENT)
        return kh_fail(err, ENOENT,
                       "there is no image '%s' (hint: kernelhost image ls)", name);
    if (r < 0)
        return r;
    text[strcspn(text, "\n")] = '\0';
    if (!kh_id_text_valid(text))
        return kh_fail(err, EBADMSG, "the file of image '%s' holds no image id", name);
    memcpy(ret_id, text, KH_ID_TEXT);
    return 0;
}

int
kh_shelf_read(const struct kh_shelf *shelf, const char *id,
              struct kh_shelf_image *ret_image, struct kh_error *err)
{
    struct kh_shelf_image image = {.layers = 0};
    AUTO_FREE char *text = NULL;
    char *line, *save = NULL;
    int r = kh_fd_read_file(shelf->ids, id, LIST_MAX, &text, NULL, err);

    if (r < 0)
        return kh_fail_in(err, "image '%s'", id);
    line = strtok_r(text, "\n", &save);
    if (!line || strcmp(line, HEAD) != 0)
        return kh_fail(err, EBADMSG, "image '%s' does not begin with '" HEAD "'", id);
    while ((line = strtok_r(NULL, "\n", &save))) {
        if (strncmp(line, "layer ", 6) != 0 || !kh_id_text_valid(line + 6) ||
            image.layers == KH_VIEW_LAYERS)
            return kh_fail(err, EBADMSG, "image '%s' has a line that is not 'layer ID'",
                           id);
        memcpy(image.layer[image.layers++], line + 6, KH_ID_TEXT);
    }
    memcpy(image.id, id, KH_ID_TEXT);
    *ret_image = image;
    return 0;
}

static bool
is_listed(const char *name, bool ids)
{
    char padded[256 + KH_IMAGE_NAME_SIZE] = "";

    snprintf(padded, sizeof(padded), "%s", name);
    return ids ? kh_id_text_valid(name) : kh_image_name_valid(padded);
}

int
kh_shelf_list(int dir, bool ids, char ***ret_names, size_t *ret_count,
              struct kh_error *err)
{
    struct dirent **entries = NULL;
    int count = scandirat(dir, ".", &entries, NULL, alphasort), i;
    char **names;
    size_t used = 0;

    if (count < 0)
        return kh_fail_errno(err, "cannot list the image store");
    names = kh_xcalloc((size_t)count + 1, sizeof(*names));
    for (i = 0; i < count; i++) {
        if (is_listed(entries[i]->d_name, ids))
            names[used++] = kh_xstrdup(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    *ret_names = names;
    *ret_count = used;
    return 0;
}

void
kh_shelf_list_free(char **names, size_t count)
{
    while (count)
        free(names[--count]);
    free(names);
}
