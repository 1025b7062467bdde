#include "sandbox/image/recipe.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/image/progress.h"
#include "sandbox/image/seal.h"
#include "sandbox/image/wire.h"

#define INFO_MAX 4096u

/* In a process group of its own, so that all of it can be ended. */
static int
run(char *const argv[], struct kh_error *err)
{
    posix_spawnattr_t attributes;
    int status, r;
    pid_t pid;

    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    r = posix_spawn(&pid, argv[0], NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    if (r)
        return kh_fail(err, r, "cannot run '%s': %s (hint: make install)", argv[0],
                       strerror(r));
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return kh_fail_errno(err, "cannot wait for '%s'", argv[0]);
        if (kh_progress_stopped())
            kill(-pid, SIGTERM);
    }
    if (kh_progress_stopped())
        return kh_fail(err, EINTR, "interrupted; no image was built");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return kh_fail(err, EIO, "no image was built: the reason is above");
    return 0;
}

int
kh_recipe_new(const struct kh_recipe *plan, struct kh_error *err)
{
    char *argv[] = {(char *)KH_IMAGEDIR "/build", (char *)plan->state,
                    (char *)plan->name, NULL};

    return run(argv, err);
}

static int
go_on(struct kh_error *err)
{
    return kh_progress_stopped()
               ? kh_fail(err, EINTR, "interrupted; no image was built")
               : 0;
}

/* Fails unless it was built here; kh_import notes the others. */
static int
check_ours(const struct kh_shelf *shelf, const struct kh_recipe *plan,
           const struct kh_shelf_image *base, struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    int r = kh_fd_read_file(shelf->info, base->id, INFO_MAX, &text, NULL, err);

    if (r == -ENOENT || (r == 0 && !strncmp(text, "source build\n", 13)))
        return 0;
    return r < 0
               ? r
               : kh_fail(err, EPERM,
                         "image '%s' was imported: its programs do not run outside of "
                         "a sandbox (hint: add the packages before the import, or "
                         "build on 'default')",
                         plan->from);
}

static char *
lower_of(const struct kh_recipe *plan, const struct kh_shelf_image *base)
{
    struct kh_buf text = KH_BUF_INIT;
    char *lower;
    unsigned i;

    for (i = 0; i < base->layers; i++)
        kh_buf_addf(&text, "%s%s/layers/%s", i ? ":" : "", plan->state, base->layer[i]);
    lower = kh_xmemdup(kh_buf_ptr(&text), kh_buf_len(&text));
    kh_buf_release(&text);
    return lower;
}

static int
extend(const struct kh_recipe *plan, const struct kh_shelf_image *base,
       const char *upper, const char *work, struct kh_error *err)
{
    AUTO_FREE char *lower = lower_of(plan, base);
    AUTO_FREE char *up = kh_xasprintf("%s/layers/%s", plan->state, upper);
    AUTO_FREE char *aside = kh_xasprintf("%s/layers/%s", plan->state, work);
    char *argv[] = {(char *)KH_IMAGEDIR "/extend",
                    lower,
                    up,
                    aside,
                    (char *)(plan->packages ? plan->packages : ""),
                    (char *)(plan->requirements ? plan->requirements : ""),
                    NULL};

    return run(argv, err);
}

static int
keep(struct kh_shelf *shelf, const struct kh_recipe *plan, int dir, const char *upper,
     struct kh_shelf_image *image, struct kh_error *err)
{
    AUTO_FREE char *info =
        kh_xasprintf("source build\ncreated %lld\n", (long long)time(NULL));
    struct kh_sealed sealed;
    bool shared;
    int r = kh_seal(dir, go_on, &sealed, err);

    if (r == 0)
        r = kh_shelf_sync(shelf, err);
    if (r == 0)
        r = kh_shelf_keep(shelf, upper, sealed.id, &shared, err);
    if (r < 0)
        return r;
    memmove(image->layer + 1, image->layer, sizeof(image->layer) - KH_ID_TEXT);
    memcpy(image->layer[0], sealed.id, KH_ID_TEXT);
    image->layers++;
    return kh_shelf_register(shelf, plan->name, image, info, err);
}

int
kh_recipe_on(struct kh_shelf *shelf, const struct kh_recipe *plan, struct kh_error *err)
{
    char upper[KH_SHELF_TEMP] = "", work[KH_SHELF_TEMP] = "", id[KH_ID_TEXT];
    struct kh_shelf_image image = {.layers = 0};
    AUTO_FD int dir = -1, aside = -1;
    int r = kh_shelf_find(shelf, plan->from, id, err);

    if (r == 0)
        r = kh_shelf_read(shelf, id, &image, err);
    if (r == 0)
        r = check_ours(shelf, plan, &image, err);
    if (r == 0 && image.layers > KH_IMPORT_LAYERS_MAX)
        r = kh_fail(err, E2BIG,
                    "image '%s' has too many layers (hint: build on another)",
                    plan->from);
    if (r == 0)
        r = dir = kh_shelf_temp(shelf, upper, err);
    if (r >= 0)
        r = aside = kh_shelf_temp(shelf, work, err);
    if (r >= 0)
        r = extend(plan, &image, upper, work, err);
    if (r == 0)
        r = keep(shelf, plan, dir, upper, &image, err);
    if (*work)
        (void)kh_shelf_remove_tree(shelf->layers, work, NULL);
    if (r < 0 && *upper)
        (void)kh_shelf_remove_tree(shelf->layers, upper, NULL);
    if (r == 0)
        printf("image '%s' is %s (%u layers)\n", plan->name, image.id, image.layers);
    return r;
}
