#include "sandbox/host/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/fd.h"

#define LIST_MAX 8192u
#define HEAD     "kernelhost-image 1"

int
kh_image_hold(const struct kh_store *store, struct kh_error *err)
{
    return flock(store->images, LOCK_SH) < 0
               ? kh_fail_errno(err, "cannot lock the images")
               : 0;
}

void
kh_image_let_go(const struct kh_store *store)
{
    flock(store->images, LOCK_UN);
}

int
kh_image_find(const struct kh_store *store, const char *name, char ret_id[KH_ID_TEXT],
              struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    char path[KH_IMAGE_NAME_SIZE + 8];
    int r;

    snprintf(path, sizeof(path), "names/%s", name);
    r = kh_fd_read_file(store->images, path, LIST_MAX, &text, NULL, err);
    if (r == -ENOENT)
        return kh_fail(err, ENOENT,
                       "there is no image '%s' (hint: kernelhost image ls; the default "
                       "one is built by ./dev image)",
                       name);
    if (r < 0)
        return r;
    text[strcspn(text, "\n")] = '\0';
    if (!kh_id_text_valid(text))
        return kh_fail(err, EBADMSG, "the file of image '%s' holds no image id", name);
    memcpy(ret_id, text, KH_ID_TEXT);
    return 0;
}

static int
open_layer(const struct kh_store *store, const char *line, struct kh_plan *plan,
           struct kh_error *err)
{
    const char *layer = line + strlen("layer ");

    if (strncmp(line, "layer ", strlen("layer ")) != 0 || !kh_id_text_valid(layer))
        return kh_fail(err, EBADMSG, "a line of the image is not 'layer ID'");
    if (plan->layers == KH_LAYERS_MAX)
        return kh_fail(err, E2BIG, "the image has more than %d layers", KH_LAYERS_MAX);
    plan->layer[plan->layers] =
        openat(store->layers, layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (plan->layer[plan->layers] < 0)
        return kh_fail(err, EIO, "layer '%s' is missing (hint: build the image again)",
                       layer);
    plan->layers++;
    return 0;
}

int
kh_image_open(const struct kh_store *store, const char *id, struct kh_plan *plan,
              struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    char path[KH_ID_TEXT + 8], *line, *save = NULL;
    int r;

    snprintf(path, sizeof(path), "id/%s", id);
    r = kh_fd_read_file(store->images, path, LIST_MAX, &text, NULL, err);
    if (r < 0)
        return kh_fail_in(err, "image '%s'", id);
    line = strtok_r(text, "\n", &save);
    if (!line || strcmp(line, HEAD) != 0)
        return kh_fail(err, EBADMSG, "image '%s' does not begin with '" HEAD "'", id);
    while ((line = strtok_r(NULL, "\n", &save))) {
        r = open_layer(store, line, plan, err);
        if (r < 0)
            return kh_fail_in(err, "image '%s'", id);
    }
    return 0;
}

int
kh_image_at(const struct kh_store *store, uint64_t index,
            char ret_name[KH_IMAGE_NAME_SIZE], struct kh_error *err)
{
    struct dirent **names = NULL;
    int count = scandirat(store->images, "names", &names, NULL, alphasort), i;
    int r = -ENOENT;

    for (i = 0; i < count; i++) {
        char padded[sizeof(names[i]->d_name) + KH_IMAGE_NAME_SIZE] = "";

        snprintf(padded, sizeof(padded), "%s", names[i]->d_name);
        if (r < 0 && kh_image_name_valid(padded) && index-- == 0) {
            memcpy(ret_name, padded, KH_IMAGE_NAME_SIZE);
            r = 0;
        }
        free(names[i]);
    }
    free(names);
    return r < 0 ? kh_fail(err, ENOENT, "there are no more images") : 0;
}
