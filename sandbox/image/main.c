/* kernelhost-image: what `kernelhost image` runs, as root, on a state directory. A
 * host may run on it meanwhile. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "sandbox/image/recipe.h"
#include "sandbox/image/import.h"
#include "sandbox/image/list.h"
#include "sandbox/image/command.h"
#include "sandbox/image/progress.h"
#include "sandbox/image/remove.h"

/* The values of --NAME=VALUE, in the order of the table. */
enum value {
    V_STATE,
    V_JSON,
    V_REF,
    V_MAX_SIZE,
    V_MAX_ENTRIES,
    V_TIMEOUT,
    V_FROM,
    V_PACKAGES,
    V_REQUIREMENTS,
    V_COUNT
};

static const char *const value_names[V_COUNT] = {
    [V_STATE] = "state",
    [V_JSON] = "json",
    [V_REF] = "ref",
    [V_MAX_SIZE] = "max-size",
    [V_MAX_ENTRIES] = "max-entries",
    [V_TIMEOUT] = "timeout",
    [V_FROM] = "from",
    [V_PACKAGES] = "packages",
    [V_REQUIREMENTS] = "requirements",
};

struct call {
    const char *value[V_COUNT]; /* NULL: not given */
    char **word;
    int words;
};

static void
say_waiting(void)
{
    kh_progress("waiting for another image command");
}

static int
open_store(const struct call *call, struct kh_shelf *shelf, struct kh_error *err)
{
    int r = kh_shelf_open(call->value[V_STATE], true, shelf, err);

    if (r == 0)
        r = kh_shelf_lock(shelf, say_waiting, err);
    return r;
}

static int
check_name(const char *name, struct kh_error *err)
{
    char padded[KH_IMAGE_NAME_SIZE + 1] = "";

    snprintf(padded, sizeof(padded), "%s", name);
    if (strlen(name) < KH_IMAGE_NAME_SIZE && kh_image_name_valid(padded))
        return 0;
    kh_log_clean(name, strlen(name), padded, sizeof(padded));
    return kh_fail(err, EINVAL,
                   "'%s' is no image name (hint: lower-case letters, digits, inner . _ "
                   "and -)",
                   padded);
}

static uint64_t
number(const struct call *call, enum value value, uint64_t preset)
{
    return call->value[value] ? strtoull(call->value[value], NULL, 10) : preset;
}

/* Images that nothing needs any more go; that they cannot is no failure of ours. */
static void
tidy(struct kh_shelf *shelf)
{
    struct kh_removed removed = {0};
    struct kh_error err = {0};

    if (kh_remove_unused(shelf, &removed, &err) < 0)
        fprintf(stderr, "kernelhost: earlier images were not removed: %s\n", err.text);
    else if (removed.images || removed.layers)
        fprintf(stderr, "removed %u earlier image%s and %u layer%s, %" PRIu64 " MiB\n",
                removed.images, removed.images == 1 ? "" : "s", removed.layers,
                removed.layers == 1 ? "" : "s", removed.bytes >> 20);
}

static void
say_left_out(const struct kh_import_tally *tally)
{
    const struct {
        uint64_t count;
        const char *what;
    } rows[] = {
        {tally->devices, "devices, FIFOs and sockets left out"},
        {tally->setid, "set-id bits dropped"},
        {tally->owners, "owners above 65535 became nobody"},
        {tally->xattrs, "extended attributes left out"},
    };
    size_t i;

    for (i = 0; i < KH_COUNT(rows); i++)
        if (rows[i].count)
            fprintf(stderr, "%" PRIu64 " %s\n", rows[i].count, rows[i].what);
}

static int
do_import(const struct call *call, struct kh_shelf *shelf, struct kh_error *err)
{
    const char *ref = call->value[V_REF];
    const struct kh_import_plan plan = {
        .path = call->word[0],
        .name = call->word[1],
        .ref = ref ? ref : "",
        .limits = {.bytes = number(call, V_MAX_SIZE, 32ull << 30),
                   .entries = number(call, V_MAX_ENTRIES, 2000000),
                   .ratio = 200,
                   .seconds = number(call, V_TIMEOUT, 1800)},
    };
    struct kh_import_result result = {0};
    struct kh_list_kernels kernels;
    int r = check_name(plan.name, err);

    if (r == 0)
        r = open_store(call, shelf, err);
    if (r == 0)
        r = kh_import(shelf, &plan, &result, err);
    kh_progress_clear();
    if (r < 0)
        return kh_fail_in(err, "cannot import '%s'", plan.path);
    say_left_out(&result.tally);
    if (kh_list_kernels(shelf, &result.image, &kernels, NULL) == 0 && !kernels.python)
        fprintf(stderr, "it runs commands but no Python kernel: %s\n", kernels.why);
    tidy(shelf);
    printf("image '%s' is %s (%u layers, %u of them shared)\n", plan.name,
           result.image.id, result.image.layers, result.shared);
    return 0;
}

static int
do_rm(const struct call *call, struct kh_shelf *shelf, struct kh_error *err)
{
    struct kh_removed removed;
    int i, r = open_store(call, shelf, err);

    for (i = 0; r == 0 && i < call->words; i++) {
        r = check_name(call->word[i], err);
        if (r == 0)
            r = kh_remove_image(shelf, call->word[i], &removed, err);
    }
    return r;
}

static int
do_ls(const struct call *call, struct kh_shelf *shelf, struct kh_error *err)
{
    bool json = call->value[V_JSON] != NULL;
    int r = kh_shelf_open(call->value[V_STATE], false, shelf, err);

    if (r == -ENOENT) /* nothing has been put there yet */
        return kh_list(NULL, json, err);
    return r < 0 ? r : kh_list(shelf, json, err);
}

static int
do_build(const struct call *call, struct kh_shelf *shelf, struct kh_error *err)
{
    const struct kh_recipe plan = {
        .state = call->value[V_STATE],
        .name = call->word[0],
        .from = call->value[V_FROM] ? call->value[V_FROM] : "default",
        .packages = call->value[V_PACKAGES],
        .requirements = call->value[V_REQUIREMENTS],
    };
    bool more = plan.packages || plan.requirements;
    int r = check_name(plan.name, err);

    if (r == 0 && call->value[V_FROM] && !more)
        r = kh_fail(err, EINVAL,
                    "nothing to add to image '%s' (hint: --packages, "
                    "--requirements)",
                    plan.from);
    if (r == 0 && !more)
        r = kh_recipe_new(&plan, err);
    if (r == 0)
        r = open_store(call, shelf, err);
    if (r == 0 && more)
        r = kh_recipe_on(shelf, &plan, err);
    if (r == 0)
        tidy(shelf);
    return r;
}

static const struct {
    const char *name;
    int words; /* at least */
    int (*run)(const struct call *, struct kh_shelf *, struct kh_error *);
} commands[] = {{"import", 2, do_import},
                {"rm", 1, do_rm},
                {"ls", 0, do_ls},
                {"build", 1, do_build}};

int
main(int argc, char **argv)
{
    struct kh_shelf shelf = {-1, -1, -1, -1, -1, -1};
    struct call call = {.words = 0};
    struct kh_error err = {0};
    int at = 1, r = -EINVAL;
    size_t i;

    while (at < argc && !strncmp(argv[at], "--", 2) &&
           kh_command_value(argv[at], value_names, V_COUNT, call.value) == 0)
        at++;
    if (at >= argc || !call.value[V_STATE]) {
        fputs("kernelhost-image: is started by kernelhost image\n", stderr);
        return 2;
    }
    call.word = argv + at + 1;
    call.words = argc - at - 1;
    umask(022);
    kh_progress_open();
    for (i = 0; i < KH_COUNT(commands); i++)
        if (!strcmp(argv[at], commands[i].name) && call.words >= commands[i].words)
            r = commands[i].run(&call, &shelf, &err);
    kh_shelf_close(&shelf);
    if (r == 0)
        return 0;
    kh_progress_clear();
    fprintf(stderr, "kernelhost: %s\n", err.text[0] ? err.text : "no such command");
    return kh_command_status(err.code);
}
