#include "sandbox/image/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/snapshot.h"
#include "sandbox/image/seal.h"

#define SHOWN_MAX 3 /* sandboxes or snapshots that a message names */

/* Who needs the image that was asked for. */
struct needers {
    unsigned count;
    char names[200];
};

/* Ids that something needs. */
struct needs {
    void *images, *layers; /* trees of texts */
    const char *asked;     /* an image id, or NULL */
    struct needers boxes, snapshots;
};

static int
compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void
need(void **tree, const char *id)
{
    char *copy = kh_xstrdup(id);
    char **found = (char **)tsearch(copy, tree, compare);

    if (!found)
        abort();
    if (*found != copy)
        free(copy);
}

static void
needs_release(struct needs *needs)
{
    tdestroy(needs->images, free);
    tdestroy(needs->layers, free);
}

static void
note(struct needs *needs, struct needers *needers, const char *image_id,
     const char *name)
{
    size_t used = strlen(needers->names);

    need(&needs->images, image_id);
    if (!needs->asked || strcmp(needs->asked, image_id) != 0)
        return;
    if (needers->count++ < SHOWN_MAX)
        snprintf(needers->names + used, sizeof(needers->names) - used, "%s'%s'",
                 used ? ", " : "", name);
}

/* A directory without a record is no sandbox: it is being made, or on its way out. */
static int
read_box(int boxes, const char *id, struct needs *needs, struct kh_error *err)
{
    AUTO_FREE char *path = kh_xasprintf("%s/record", id);
    AUTO_FREE char *data = NULL;
    struct kh_record record;
    size_t size;
    int r = kh_fd_read_file(boxes, path, KH_RECORD_SIZE, &data, &size, err);

    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r == 0)
        r = kh_record_decode(data, size, &record, err);
    if (r < 0)
        return kh_fail(err, EBADMSG,
                       "the record of sandbox '%s' cannot be read, so nobody knows "
                       "which image it needs (hint: start the host, which sets it "
                       "aside)",
                       id);
    note(needs, &needs->boxes, record.image_id, record.name);
    return 0;
}

/* Likewise. */
static int
read_snapshot(int snapshots, const char *id, struct needs *needs, struct kh_error *err)
{
    struct kh_snapshot_record record;
    int r = kh_snapshot_read(snapshots, id, NULL, &record, err);

    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return kh_fail(err, EBADMSG,
                       "the record of snapshot '%s' cannot be read, so nobody knows "
                       "which image it needs (hint: start the host, which sets it "
                       "aside)",
                       id);
    note(needs, &needs->snapshots, record.image_id, record.name);
    return 0;
}

static int
each_entry(struct kh_shelf *shelf, const char *name,
           int (*each)(int dir, const char *entry, struct needs *, struct kh_error *),
           struct needs *needs, struct kh_error *err)
{
    int fd = openat(shelf->state, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (fd < 0)
        return errno == ENOENT ? 0 : kh_fail_errno(err, "cannot read '%s'", name);
    if (!list) {
        close(fd);
        return kh_fail_errno(err, "cannot read '%s'", name);
    }
    while (r == 0 && (entry = readdir(list)))
        if (entry->d_name[0] != '.')
            r = each(fd, entry->d_name, needs, err);
    closedir(list);
    return r;
}

static int
refuse_damaged(int dir, const char *name, struct needs *needs, struct kh_error *err)
{
    (void)dir;
    (void)needs;
    return kh_fail(err, EBADMSG,
                   "'damaged/%s' may need any image (hint: mend that record or remove "
                   "it)",
                   name);
}

/* Every image with a sandbox or a snapshot. */
static int
read_records(struct kh_shelf *shelf, struct needs *needs, struct kh_error *err)
{
    int r = each_entry(shelf, "sandboxes", read_box, needs, err);

    if (r == 0)
        r = each_entry(shelf, "snapshots", read_snapshot, needs, err);
    return r < 0 ? r : each_entry(shelf, "damaged", refuse_damaged, needs, err);
}

/* Every image with a name; *RET_NAMES counts those of needs->asked. */
static int
read_names(struct kh_shelf *shelf, struct needs *needs, unsigned *ret_names,
           struct kh_error *err)
{
    char **names, id[KH_ID_TEXT];
    size_t count, i;
    int r = kh_shelf_list(shelf->names, false, &names, &count, err);

    *ret_names = 0;
    if (r < 0)
        return r;
    for (i = 0; r == 0 && i < count; i++) {
        r = kh_shelf_find(shelf, names[i], id, err);
        if (r == 0)
            need(&needs->images, id);
        if (r == 0 && needs->asked && !strcmp(id, needs->asked))
            ++*ret_names;
    }
    kh_shelf_list_free(names, count);
    return r;
}

static int
read_layers(struct kh_shelf *shelf, struct needs *needs, struct kh_error *err)
{
    struct kh_shelf_image image;
    char **ids;
    size_t count, i;
    unsigned layer;
    int r = kh_shelf_list(shelf->ids, true, &ids, &count, err);

    if (r < 0)
        return r;
    for (i = 0; r == 0 && i < count; i++) {
        r = kh_shelf_read(shelf, ids[i], &image, err);
        for (layer = 0; r == 0 && layer < image.layers; layer++)
            need(&needs->layers, image.layer[layer]);
    }
    kh_shelf_list_free(ids, count);
    return r;
}

/* What is in DIR and not in TREE goes. */
static int
remove_others(struct kh_shelf *shelf, int dir, void **tree, struct kh_removed *removed,
              struct kh_error *err)
{
    struct kh_sealed size = {.bytes = 0};
    char **ids;
    size_t count, i;
    int r = kh_shelf_list(dir, true, &ids, &count, err);

    if (r < 0)
        return r;
    for (i = 0; r == 0 && i < count; i++) {
        AUTO_FD int layer = -1;

        if (tfind(ids[i], tree, compare))
            continue;
        if (dir == shelf->ids) {
            (void)unlinkat(shelf->info, ids[i], 0);
            if (unlinkat(dir, ids[i], 0) < 0)
                r = kh_fail_errno(err, "cannot remove image '%s'", ids[i]);
            removed->images++;
            continue;
        }
        layer = openat(dir, ids[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (layer >= 0 && kh_seal_measure(layer, &size, NULL) == 0)
            removed->bytes += size.bytes;
        /* Under a name that is swept, should this be interrupted. */
        if (renameat(dir, ids[i], dir, ".build-removed") < 0)
            r = kh_fail_errno(err, "cannot remove layer '%s'", ids[i]);
        else
            r = kh_shelf_remove_tree(dir, ".build-removed", err);
        removed->layers++;
    }
    kh_shelf_list_free(ids, count);
    return r;
}

static int
collect(struct kh_shelf *shelf, struct kh_removed *removed, struct kh_error *err)
{
    struct needs needs = {.asked = NULL};
    unsigned names;
    int r = read_names(shelf, &needs, &names, err);

    if (r == 0)
        r = read_records(shelf, &needs, err);
    if (r == 0)
        r = remove_others(shelf, shelf->ids, &needs.images, removed, err);
    if (r == 0)
        r = read_layers(shelf, &needs, err);
    if (r == 0)
        r = remove_others(shelf, shelf->layers, &needs.layers, removed, err);
    needs_release(&needs);
    return r;
}

static int
check_free(struct kh_shelf *shelf, const char *name, const char *id,
           struct kh_error *err)
{
    struct needs needs = {.asked = id};
    unsigned names;
    int r = read_names(shelf, &needs, &names, err);

    if (r == 0 && names < 2)
        r = read_records(shelf, &needs, err);
    if (r == 0 && needs.boxes.count)
        r = kh_fail(err, EBUSY,
                    "image '%s' is needed by %u sandbox%s: %s%s (hint: kernelhost rm)",
                    name, needs.boxes.count, needs.boxes.count == 1 ? "" : "es",
                    needs.boxes.names, needs.boxes.count > SHOWN_MAX ? ", ..." : "");
    else if (r == 0 && needs.snapshots.count)
        r = kh_fail(err, EBUSY,
                    "image '%s' is needed by %u snapshot%s: %s%s (hint: kernelhost "
                    "snapshot rm)",
                    name, needs.snapshots.count, needs.snapshots.count == 1 ? "" : "s",
                    needs.snapshots.names,
                    needs.snapshots.count > SHOWN_MAX ? ", ..." : "");
    needs_release(&needs);
    return r;
}

int
kh_remove_unused(struct kh_shelf *shelf, struct kh_removed *ret_removed,
                 struct kh_error *err)
{
    struct kh_removed removed = {0};
    int r;

    if (flock(shelf->images, LOCK_EX) < 0)
        return kh_fail_errno(err, "cannot lock the images");
    r = collect(shelf, &removed, err);
    flock(shelf->images, LOCK_UN);
    *ret_removed = removed;
    return r;
}

int
kh_remove_image(struct kh_shelf *shelf, const char *name,
                struct kh_removed *ret_removed, struct kh_error *err)
{
    char id[KH_ID_TEXT];
    int r;

    *ret_removed = (struct kh_removed){0};
    if (flock(shelf->images, LOCK_EX) < 0)
        return kh_fail_errno(err, "cannot lock the images");
    r = kh_shelf_find(shelf, name, id, err);
    if (r == 0)
        r = check_free(shelf, name, id, err);
    if (r == 0 && (unlinkat(shelf->names, name, 0) < 0 || fsync(shelf->names) < 0))
        r = kh_fail_errno(err, "cannot remove image '%s'", name);
    if (r == 0)
        r = collect(shelf, ret_removed, err);
    flock(shelf->images, LOCK_UN);
    return r;
}
