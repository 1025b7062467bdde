/* kernelspec: how Jupyter programs on this machine find our kernels. */
#include "kernelhost/cli/cli.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/jupyterdir.h"
#include "kernelhost/cli/limits.h"
#include "kernelhost/cli/logo.h"
#include "kernelhost/cli/print.h"
#include "protocol/jupyter/jsontree.h"

#define SPEC_FILE_MAX   65536
#define NAME_MAX_LENGTH 64
#define DEFAULT_NAME    "kernelhost"
#define DEFAULT_TITLE   "Python 3 (Kernelhost)"

const struct kh_option kh_options_kernelspec[] = {
    KH_JUPYTERDIR_OPTIONS,
    {"name", 0, "NAME", "name of the kernelspec (" DEFAULT_NAME ")"},
    {"display-name", 0, "TEXT", "what programs show (" DEFAULT_TITLE ")"},
    KH_LIMIT_OPTIONS,
    {0},
};

const struct kh_option kh_options_kernelspec_remove[] = {KH_JUPYTERDIR_OPTIONS, {0}};

/* What we write beside kernel.json, and take away again. */
static const struct file {
    const char *name;
    const unsigned char *data;
    const size_t *size;
} files[] = {
    {"logo-32x32.png", kh_logo_32_png, &kh_logo_32_png_size},
    {"logo-64x64.png", kh_logo_64_png, &kh_logo_64_png_size},
    {"logo-svg.svg", kh_logo_svg, &kh_logo_svg_size},
};

static int
check_name(const char *name, struct kh_error *err)
{
    const char *c;

    for (c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
            break;
    if (*c || !*name || *name == '.' || strlen(name) > NAME_MAX_LENGTH)
        return kh_fail(err, EINVAL,
                       "'%.80s' is no kernelspec name (hint: letters, digits, - _ .)",
                       name);
    return 0;
}

static int
make_dirs(const char *path, struct kh_error *err)
{
    AUTO_FREE char *copy = kh_xstrdup(path);
    char *at = copy;

    do {
        at = strchr(at + 1, '/');
        if (at)
            *at = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return kh_fail_errno(err, "cannot create directory '%s'", copy);
        if (at)
            *at = '/';
    } while (at);
    return 0;
}

static int
add_word(json_t *argv, const char *word, struct kh_error *err)
{
    if (json_array_append_new(argv, json_string(word)) < 0)
        return kh_fail(err, EINVAL, "'%.80s' is not UTF-8 text", word);
    return 0;
}

static int
add_option(json_t *argv, const char *name, const char *value, struct kh_error *err)
{
    AUTO_FREE char *option = kh_xasprintf("--%s", name);
    int r = add_word(argv, option, err);

    return r < 0 ? r : add_word(argv, value, err);
}

/* The options of `kernel` that were given to us. */
static int
add_options(const struct kh_cli *cli, const struct kh_args *args, json_t *argv,
            struct kh_error *err)
{
    static const char *const limits[] = {"image", "memory", "cpus", "pids", "disk"};
    AUTO_FREE char *state = cli->state_given ? realpath(cli->state, NULL) : NULL;
    AUTO_JSON json_t *checked = json_object();
    size_t i;
    int r = kh_limits_read(args, checked, err);

    if (r == 0 && cli->state_given)
        r = state ? add_option(argv, "state", state, err)
                  : kh_fail_errno(err, "cannot find state directory '%s'", cli->state);
    for (i = 0; i < KH_COUNT(limits) && r == 0; i++)
        if (kh_args_get(args, limits[i]))
            r = add_option(argv, limits[i], kh_args_get(args, limits[i]), err);
    return r;
}

/* The command that Jupyter runs: us, by our absolute path. */
static int
make_argv(const struct kh_cli *cli, const struct kh_args *args, json_t *argv,
          struct kh_error *err)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int r;

    if (n < 0)
        return kh_fail_errno(err, "cannot read '/proc/self/exe'");
    self[n] = '\0';
    r = add_word(argv, self, err);
    if (r == 0)
        r = add_word(argv, "kernel", err);
    if (r == 0)
        r = add_options(cli, args, argv, err);
    if (r == 0)
        r = add_word(argv, "-f", err);
    return r < 0 ? r : add_word(argv, "{connection_file}", err);
}

static int
write_spec(const char *dir, const json_t *spec, struct kh_error *err)
{
    AUTO_FREE char *json = json_dumps(spec, JSON_INDENT(1));
    AUTO_FREE char *text = kh_xasprintf("%s\n", json);
    AUTO_FREE char *path = kh_xasprintf("%s/kernel.json", dir);
    size_t i;
    int r = make_dirs(dir, err);

    for (i = 0; i < KH_COUNT(files) && r == 0; i++) {
        AUTO_FREE char *logo = kh_xasprintf("%s/%s", dir, files[i].name);

        r = kh_fd_replace_file(AT_FDCWD, logo, files[i].data, *files[i].size, 0644,
                               err);
    }
    /* Last: a directory without it is no kernelspec yet. */
    if (r == 0)
        r = kh_fd_replace_file(AT_FDCWD, path, text, strlen(text), 0644, err);
    return r;
}

int
kh_cmd_kernelspec_install(struct kh_cli *cli, const struct kh_args *args,
                          struct kh_error *err)
{
    const char *name = kh_args_get(args, "name"),
               *title = kh_args_get(args, "display-name");
    AUTO_FREE char *base = NULL, *dir = NULL;
    AUTO_JSON json_t *argv = json_array(), *spec = NULL;
    int r = check_name(name ? name : DEFAULT_NAME, err);

    if (r == 0)
        r = kh_jupyterdir_choose(args, &base, err);
    if (r == 0)
        r = make_argv(cli, args, argv, err);
    if (r < 0)
        return r;
    spec = json_pack("{s:O, s:s, s:s, s:s, s:s, s:{s:b, s:s}}", "argv", argv,
                     "display_name", title ? title : DEFAULT_TITLE, "language",
                     "python", "interrupt_mode", "message", "kernel_protocol_version",
                     "5.5", "metadata", "debugger", 0, "kernelhost", PACKAGE_VERSION);
    if (!spec)
        return kh_fail(err, EINVAL, "the display name is not UTF-8 text");
    dir = kh_xasprintf("%s/%s", base, name ? name : DEFAULT_NAME);
    r = write_spec(dir, spec, err);
    if (r < 0)
        return r;
    if (cli->json)
        kh_print_json(spec);
    else
        kh_print_line(dir);
    return KH_EXIT_OK;
}

/* The kernel.json in DIR if it is one of ours, else NULL. */
static json_t *
read_spec(const char *dir)
{
    AUTO_FREE char *path = kh_xasprintf("%s/kernel.json", dir);
    AUTO_FREE char *text = NULL;
    json_t *spec;
    size_t size;

    if (kh_fd_read_file(AT_FDCWD, path, SPEC_FILE_MAX, &text, &size, NULL) < 0)
        return NULL;
    spec = json_loadb(text, size, 0, NULL);
    if (json_is_string(
            json_object_get(json_object_get(spec, "metadata"), "kernelhost")))
        return spec;
    json_decref(spec);
    return NULL;
}

struct listing {
    struct kh_table table;
    json_t *json;
};

static void
list_dir(const char *base, void *arg)
{
    struct listing *listing = arg;
    struct dirent **entry;
    int i, count = scandir(base, &entry, NULL, alphasort);

    for (i = 0; i < count; i++) {
        AUTO_FREE char *dir = kh_xasprintf("%s/%s", base, entry[i]->d_name);
        AUTO_JSON json_t *spec = entry[i]->d_name[0] == '.' ? NULL : read_spec(dir);

        if (spec && !json_object_get(listing->json, entry[i]->d_name)) {
            json_object_set_new(
                listing->json, entry[i]->d_name,
                json_pack("{s:s, s:O}", "directory", dir, "spec", spec));
            kh_table_add(&listing->table, entry[i]->d_name);
            kh_table_add(&listing->table, kh_http_text(spec, "display_name"));
            kh_table_add(&listing->table, dir);
        }
        free(entry[i]);
    }
    if (count >= 0)
        free(entry);
}

int
kh_cmd_kernelspec_list(struct kh_cli *cli, const struct kh_args *args,
                       struct kh_error *err)
{
    struct listing listing = {KH_TABLE_INIT, json_object()};

    (void)args;
    (void)err;
    kh_table_head(&listing.table, "NAME TITLE DIRECTORY");
    kh_jupyterdir_each(list_dir, &listing);
    if (cli->json)
        kh_print_json(listing.json);
    else
        kh_print_table(&listing.table);
    kh_table_release(&listing.table);
    json_decref(listing.json);
    return KH_EXIT_OK;
}

int
kh_cmd_kernelspec_remove(struct kh_cli *cli, const struct kh_args *args,
                         struct kh_error *err)
{
    AUTO_FREE char *base = NULL, *dir = NULL, *path = NULL;
    AUTO_JSON json_t *spec = NULL;
    size_t i;
    int r = check_name(args->word[0], err);

    (void)cli;
    if (r == 0)
        r = kh_jupyterdir_choose(args, &base, err);
    if (r < 0)
        return r;
    dir = kh_xasprintf("%s/%s", base, args->word[0]);
    spec = read_spec(dir);
    if (!spec)
        return kh_fail(err, ENOENT,
                       "'%s' is no kernelspec of ours (hint: kernelhost "
                       "kernelspec list)",
                       dir);
    path = kh_xasprintf("%s/kernel.json", dir);
    if (unlink(path) < 0)
        return kh_fail_errno(err, "cannot remove '%s'", path);
    for (i = 0; i < KH_COUNT(files); i++) {
        AUTO_FREE char *logo = kh_xasprintf("%s/%s", dir, files[i].name);

        unlink(logo);
    }
    /* Whatever the user put beside stays, and the directory with it. */
    rmdir(dir);
    return KH_EXIT_OK;
}
