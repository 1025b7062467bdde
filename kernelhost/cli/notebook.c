#include "kernelhost/cli/notebook.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "protocol/jupyter/jsontree.h"

int
kh_notebook_read_file(const char *path, char **ret_data, size_t *ret_size,
                      struct kh_error *err)
{
    bool input = !strcmp(path, "-");
    AUTO_FD int opened = input ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    int fd = input ? STDIN_FILENO : opened;
    struct kh_buf in = KH_BUF_INIT;
    ssize_t n = 1;

    if (fd < 0)
        return kh_fail_errno(err, "cannot open '%s'", path);
    while (n && kh_buf_len(&in) <= KH_NOTEBOOK_MAX) {
        n = read(fd, kh_buf_reserve(&in, 65536), 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int r = kh_fail_errno(err, "cannot read '%s'", path);

            kh_buf_release(&in);
            return r;
        }
        kh_buf_wrote(&in, (size_t)n);
    }
    if (n) {
        kh_buf_release(&in);
        return kh_fail(err, EFBIG, "file '%s' is larger than %u MiB", path,
                       KH_NOTEBOOK_MAX >> 20);
    }
    *ret_size = kh_buf_len(&in);
    *ret_data = in.data;
    return 0;
}

static bool
is_text(const json_t *value)
{
    const json_t *line;
    size_t i;

    if (json_is_string(value))
        return true;
    if (!json_is_array(value))
        return false;
    json_array_foreach(value, i, line) if (!json_is_string(line)) return false;
    return true;
}

/* What is wrong with a cell, or NULL. */
static const char *
cell_fault(const json_t *cell)
{
    const char *type = kh_http_text(cell, "cell_type");

    if (!json_is_object(cell))
        return "it is no object";
    if (strcmp(type, "code") && strcmp(type, "markdown") && strcmp(type, "raw"))
        return "its cell_type is not code, markdown or raw";
    if (!is_text(json_object_get(cell, "source")))
        return "its source is no text";
    if (!json_is_object(json_object_get(cell, "metadata")))
        return "its metadata is no object";
    if (!strcmp(type, "code") && !json_is_array(json_object_get(cell, "outputs")))
        return "its outputs are no list";
    return NULL;
}

static int
check(const char *name, const json_t *notebook, struct kh_error *err)
{
    const json_t *major = json_object_get(notebook, "nbformat");
    const json_t *cells = json_object_get(notebook, "cells"), *cell;
    const char *fault;
    size_t i;

    if (!json_is_integer(major))
        return kh_fail(err, EBADMSG, "'%s' is no notebook: nbformat is missing", name);
    if (json_integer_value(major) < 4)
        return kh_fail(err, EBADMSG,
                       "notebook '%s' has the old format %lld (hint: jupyter nbconvert "
                       "--to notebook --nbformat 4)",
                       name, (long long)json_integer_value(major));
    if (json_integer_value(major) > 4)
        return kh_fail(err, EBADMSG,
                       "notebook '%s' has format %lld; this program knows 4", name,
                       (long long)json_integer_value(major));
    if (!json_is_integer(json_object_get(notebook, "nbformat_minor")))
        return kh_fail(err, EBADMSG, "notebook '%s' has no nbformat_minor", name);
    if (!json_is_object(json_object_get(notebook, "metadata")))
        return kh_fail(err, EBADMSG, "metadata of notebook '%s' is no object", name);
    if (!json_is_array(cells))
        return kh_fail(err, EBADMSG, "notebook '%s' has no list of cells", name);
    json_array_foreach(cells, i, cell) if ((fault = cell_fault(cell))) return kh_fail(
        err, EBADMSG, "cell %zu of notebook '%s' is damaged: %s", i + 1, name, fault);
    return 0;
}

int
kh_notebook_parse(const char *name, const char *data, size_t size,
                  json_t **ret_notebook, struct kh_error *err)
{
    AUTO_JSON json_t *notebook = NULL;
    json_error_t why;
    int r;

    notebook = json_loadb(data, size, JSON_ALLOW_NUL, &why);
    if (!notebook)
        return kh_fail(err, EBADMSG, "'%s' is no notebook: line %d: %s", name, why.line,
                       why.text);
    if (!json_is_object(notebook))
        return kh_fail(err, EBADMSG, "'%s' is no notebook: no JSON object", name);
    r = check(name, notebook, err);
    if (r < 0)
        return r;
    *ret_notebook = STEAL_PTR(notebook);
    return 0;
}

const char *
kh_notebook_language(const json_t *notebook)
{
    const json_t *metadata = json_object_get(notebook, "metadata");
    const char *spec =
        kh_http_text(json_object_get(metadata, "kernelspec"), "language");
    const char *info = kh_http_text(json_object_get(metadata, "language_info"), "name");

    return *spec ? spec : *info ? info : "python";
}

void
kh_notebook_source(const json_t *cell, struct kh_buf *out)
{
    const json_t *source = json_object_get(cell, "source"), *line;
    size_t i;

    if (json_is_string(source))
        kh_buf_add(out, json_string_value(source), json_string_length(source));
    json_array_foreach(source, i, line)
        kh_buf_add(out, json_string_value(line), json_string_length(line));
}

bool
kh_notebook_is_code(const json_t *cell)
{
    return !strcmp(kh_http_text(cell, "cell_type"), "code");
}

bool
kh_notebook_has_tag(const json_t *cell, const char *tag)
{
    const json_t *tags = json_object_get(json_object_get(cell, "metadata"), "tags");
    const json_t *one;
    size_t i;

    json_array_foreach(tags, i,
                       one) if (json_is_string(one) &&
                                !strcmp(json_string_value(one), tag)) return true;
    return false;
}

/* A text as a list of its lines, each with its newline; what is none stays. */
static void
split(json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    const char *at, *end;
    json_t *lines;

    if (!json_is_string(value))
        return;
    lines = json_array();
    at = json_string_value(value);
    end = at + json_string_length(value);
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline ? newline + 1 : end;

        json_array_append_new(lines, json_stringn_nocheck(at, (size_t)(next - at)));
        at = next;
    }
    json_object_set_new(object, member, lines);
}

static void
split_bundle(json_t *data)
{
    void *iter, *next;

    for (iter = json_object_iter(data); iter; iter = next) {
        AUTO_FREE char *mime = kh_xstrdup(json_object_iter_key(iter));

        next = json_object_iter_next(data, iter);
        if (!strncmp(mime, "text/", 5) || !strcmp(mime, "image/svg+xml") ||
            !strcmp(mime, "application/javascript"))
            split(data, mime);
    }
}

static void
split_cell(json_t *cell)
{
    json_t *output, *bundle;
    const char *name;
    size_t i;

    split(cell, "source");
    json_object_foreach(json_object_get(cell, "attachments"), name, bundle)
        split_bundle(bundle);
    json_array_foreach(json_object_get(cell, "outputs"), i, output)
    {
        if (!strcmp(kh_http_text(output, "output_type"), "stream"))
            split(output, "text");
        split_bundle(json_object_get(output, "data"));
    }
}

static int
add_bytes(const char *p, size_t size, void *arg)
{
    kh_buf_add(arg, p, size);
    return 0;
}

void
kh_notebook_format(json_t *notebook, struct kh_buf *out)
{
    json_t *cell;
    size_t i;

    json_array_foreach(json_object_get(notebook, "cells"), i, cell) split_cell(cell);
    json_dump_callback(notebook, add_bytes, out, JSON_INDENT(1));
    kh_buf_add(out, "\n", 1);
}

/* A pipe, a terminal or a device is written through: renaming over /dev/null
 * would replace it for the whole machine. */
static int
write_through(const char *path, const struct kh_buf *out, struct kh_error *err)
{
    bool output = !strcmp(path, "-");
    AUTO_FD int opened = output ? -1 : open(path, O_WRONLY | O_CLOEXEC);
    int r;

    if (!output && opened < 0)
        return kh_fail_errno(err, "cannot open '%s'", path);
    r = kh_fd_write_full(output ? STDOUT_FILENO : opened, kh_buf_ptr(out),
                         kh_buf_len(out));
    return r < 0 ? kh_fail(err, -r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

/* Mode and, as far as we may, owner stay those of the file that is replaced. */
static int
write_file(const char *path, const struct kh_buf *out, struct kh_error *err)
{
    AUTO_FREE char *real = realpath(path, NULL);
    const char *target = real ? real : path;
    struct stat st;
    bool there = stat(target, &st) == 0;
    int r;

    if (there && !S_ISREG(st.st_mode))
        return write_through(target, out, err);
    r = kh_fd_replace_file(AT_FDCWD, target, kh_buf_ptr(out), kh_buf_len(out),
                           there ? st.st_mode & 0777 : 0666, err);
    if (r == 0 && there && chown(target, st.st_uid, st.st_gid) < 0)
        return 0; /* it is ours then, and complete */
    return r;
}

int
kh_notebook_write(json_t *notebook, const char *path, struct kh_error *err)
{
    struct kh_buf out = KH_BUF_INIT;
    int r;

    kh_notebook_format(notebook, &out);
    r = strcmp(path, "-") ? write_file(path, &out, err)
                          : write_through(path, &out, err);
    kh_buf_release(&out);
    return r;
}
