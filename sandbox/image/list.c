#include "sandbox/image/list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/image/seal.h"

#define INFO_MAX 4096u

struct row {
    char name[KH_IMAGE_NAME_SIZE];
    struct kh_shelf_image image;
    struct kh_sealed layer[KH_VIEW_LAYERS];
    uint64_t bytes;
    struct kh_list_kernels kernels;
    long long created;
    char digest[72];
};

/* ---- which kernels ---- */

static bool
is_there(const struct kh_view *view, const char *path, mode_t type, mode_t bits)
{
    char found[KH_PATH_MAX + 1];
    struct stat st;
    int fd = kh_view_find(view, path, found, &st);

    if (fd >= 0)
        close(fd);
    return fd >= 0 && (st.st_mode & S_IFMT) == type && (st.st_mode & bits) == bits;
}

/* In a directory of packages whose name has the version of Python in it. */
static bool
in_version(const struct kh_view *view, const char *lib, const char *rest)
{
    int i;

    for (i = 0; i < view->layers; i++) {
        int fd = openat(view->layer[i], lib, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *list = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;
        bool found = false;

        while (list && !found && (entry = readdir(list))) {
            AUTO_FREE char *path = kh_xasprintf("%s/%s/%s", lib, entry->d_name, rest);

            found = !strncmp(entry->d_name, "python3.", 8) &&
                    is_there(view, path, S_IFDIR, 0);
        }
        if (list)
            closedir(list);
        else
            kh_fd_close(&fd);
        if (found)
            return true;
    }
    return false;
}

static bool
has_ipython(const struct kh_view *view)
{
    return is_there(view, "usr/lib/python3/dist-packages/IPython", S_IFDIR, 0) ||
           in_version(view, "usr/lib", "site-packages/IPython") ||
           in_version(view, "usr/local/lib", "site-packages/IPython") ||
           in_version(view, "usr/local/lib", "dist-packages/IPython");
}

int
kh_list_kernels(struct kh_shelf *shelf, const struct kh_shelf_image *image,
                struct kh_list_kernels *ret_kernels, struct kh_error *err)
{
    struct kh_view view = {.opaque = "trusted.overlay.opaque"};
    struct kh_list_kernels kernels = {0};
    bool python;
    unsigned i;
    int r = 0;

    for (i = 0; r == 0 && i < image->layers; i++) {
        view.layer[i] = openat(shelf->layers, image->layer[i],
                               O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (view.layer[i] < 0)
            r = kh_fail_errno(err, "cannot open layer '%s'", image->layer[i]);
        else
            view.layers++;
    }
    python = r == 0 && (is_there(&view, "usr/local/bin/python3", S_IFREG, 0111) ||
                        is_there(&view, "usr/bin/python3", S_IFREG, 0111));
    if (r == 0 && !python)
        snprintf(kernels.why, sizeof(kernels.why),
                 "no python3 in /usr/local/bin or /usr/bin");
    else if (r == 0 && !has_ipython(&view))
        snprintf(kernels.why, sizeof(kernels.why),
                 "python3 lacks IPython (pip install ipython)");
    kernels.python = python && !*kernels.why;
    while (view.layers)
        close(view.layer[--view.layers]);
    if (r == 0)
        *ret_kernels = kernels;
    return r;
}

/* ---- rows ---- */

static void
read_info(struct kh_shelf *shelf, struct row *row)
{
    AUTO_FREE char *text = NULL;
    char *line, *save = NULL;

    snprintf(row->digest, sizeof(row->digest), "-");
    if (shelf->info < 0 ||
        kh_fd_read_file(shelf->info, row->image.id, INFO_MAX, &text, NULL, NULL) < 0)
        return;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!strncmp(line, "created ", 8))
            row->created = strtoll(line + 8, NULL, 10);
        if (!strncmp(line, "digest sha256:", 14) &&
            strspn(line + 14, "0123456789abcdef") == 64 && strlen(line) == 78)
            snprintf(row->digest, sizeof(row->digest), "%s", line + 7);
    }
}

static int
read_row(struct kh_shelf *shelf, const char *name, struct row *row,
         struct kh_error *err)
{
    char id[KH_ID_TEXT];
    unsigned i;
    int r = kh_shelf_find(shelf, name, id, err);

    if (r == 0)
        r = kh_shelf_read(shelf, id, &row->image, err);
    snprintf(row->name, sizeof(row->name), "%s", name);
    for (i = 0; r == 0 && i < row->image.layers; i++) {
        AUTO_FD int dir = openat(shelf->layers, row->image.layer[i],
                                 O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        r = dir < 0 ? kh_fail_errno(err, "cannot open layer '%s'", row->image.layer[i])
                    : kh_seal_measure(dir, &row->layer[i], err);
        row->bytes += row->layer[i].bytes;
    }
    if (r == 0)
        read_info(shelf, row);
    return r < 0 ? r : kh_list_kernels(shelf, &row->image, &row->kernels, err);
}

static void
print_json(const struct row *row, bool first)
{
    unsigned i;

    printf("%s\n  {\"name\": \"%s\", \"id\": \"%s\", \"size\": %" PRIu64
           ", \"created\": ",
           first ? "" : ",", row->name, row->image.id, row->bytes);
    printf(row->created ? "%lld" : "null", row->created);
    printf(*row->digest == '-' ? ", \"digest\": null" : ", \"digest\": \"%s\"",
           row->digest);
    printf(", \"kernels\": [%s], \"layers\": [",
           row->kernels.python ? "\"python\"" : "");
    for (i = 0; i < row->image.layers; i++)
        printf("%s{\"id\": \"%s\", \"size\": %" PRIu64 ", \"entries\": %" PRIu64 "}",
               i ? ", " : "", row->image.layer[i], row->layer[i].bytes,
               row->layer[i].entries);
    printf("]}");
}

static void
print_line(const struct row *row, int width)
{
    static const char units[] = "BKMGT";
    double size = (double)row->bytes;
    int unit = 0;
    char text[16], date[32] = "-";
    time_t created = row->created;
    struct tm tm;

    while (size >= 1024 && units[unit + 1]) {
        size /= 1024;
        unit++;
    }
    snprintf(text, sizeof(text), unit && size < 10 ? "%.1f%c" : "%.0f%c", size,
             units[unit]);
    if (created && localtime_r(&created, &tm))
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &tm);
    printf("%-*s  %.12s  %6s  %6u  %-16s  %s\n", width, row->name, row->image.id, text,
           row->image.layers, date, row->kernels.python ? "python" : row->kernels.why);
}

int
kh_list(struct kh_shelf *shelf, bool json, struct kh_error *err)
{
    AUTO_FREE struct row *row = kh_xcalloc(1, sizeof(*row));
    char **names = NULL;
    size_t count = 0, i;
    int width = 4;
    int r = shelf ? kh_shelf_list(shelf->names, false, &names, &count, err) : 0;

    if (r < 0)
        return r;
    for (i = 0; i < count; i++)
        width = strlen(names[i]) > (size_t)width ? (int)strlen(names[i]) : width;
    if (json)
        printf("[");
    else
        printf("%-*s  %-12s  %6s  %6s  %-16s  %s\n", width, "NAME", "ID", "SIZE",
               "LAYERS", "CREATED", "KERNELS");
    for (i = 0; r == 0 && i < count; i++) {
        *row = (struct row){.created = 0};
        r = read_row(shelf, names[i], row, err);
        if (r == 0 && json)
            print_json(row, i == 0);
        else if (r == 0)
            print_line(row, width);
    }
    if (json)
        printf("%s]\n", count ? "\n" : "");
    kh_shelf_list_free(names, count);
    return r;
}
