#include "kernelhost/cli/render.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/base64.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/text.h"

/* Data with a file form. The file's name is ours, never the sandbox's. */
static const struct kind {
    const char *mime, *suffix;
    bool base64;
} kinds[] = {
    {"image/png", "png", true},       {"image/jpeg", "jpg", true},
    {"image/gif", "gif", true},       {"image/webp", "webp", true},
    {"application/pdf", "pdf", true}, {"image/svg+xml", "svg", false},
};

static bool
colours_on(int fd)
{
    const char *no = getenv("NO_COLOR");

    return isatty(fd) && !(no && *no);
}

static void
put(int fd, const char *p, size_t size, bool newline)
{
    kh_fd_write_full(fd, p, size);
    if (newline && (!size || p[size - 1] != '\n'))
        kh_fd_write_full(fd, "\n", 1);
}

static void
put_readable(int fd, const char *p, size_t size)
{
    struct kh_buf out = KH_BUF_INIT;

    kh_text_readable(&out, p, size, colours_on(fd) ? KH_TEXT_COLOURS : KH_TEXT_PLAIN);
    put(fd, kh_buf_ptr(&out), kh_buf_len(&out), true);
    kh_buf_release(&out);
}

/* A MIME value: one string, or (in notebooks) a list of them. */
static void
gather(const json_t *value, struct kh_buf *out)
{
    const json_t *part;
    size_t i;

    if (json_is_string(value))
        kh_buf_add(out, json_string_value(value), json_string_length(value));
    json_array_foreach(value, i, part)
        kh_buf_add(out, json_string_value(part), json_string_length(part));
}

static void
stream(const json_t *content)
{
    const json_t *text = json_object_get(content, "text");
    bool err = !strcmp(kh_http_text(content, "name"), "stderr");

    put(err ? STDERR_FILENO : STDOUT_FILENO, json_string_value(text),
        json_string_length(text), false);
}

static void
error(const json_t *content)
{
    const json_t *traceback = json_object_get(content, "traceback"), *line;
    struct kh_buf out = KH_BUF_INIT;
    size_t i;

    json_array_foreach(traceback, i, line)
    {
        if (i)
            kh_buf_add(&out, "\n", 1);
        gather(line, &out);
    }
    if (!kh_buf_len(&out))
        kh_buf_addf(&out, "%s: %s", kh_http_text(content, "ename"),
                    kh_http_text(content, "evalue"));
    put_readable(STDERR_FILENO, kh_buf_ptr(&out), kh_buf_len(&out));
    kh_buf_release(&out);
}

static void
save(struct kh_render *render, const struct kind *kind, const struct kh_buf *bytes)
{
    AUTO_FREE char *path = NULL;
    struct kh_error err;

    if (mkdir(render->save_dir, 0777) < 0 && errno != EEXIST) {
        fprintf(stderr, "kernelhost: cannot create directory '%s': %s\n",
                render->save_dir, strerror(errno));
        return;
    }
    path = kh_xasprintf("%s/output-%u.%s", render->save_dir, ++render->saved,
                        kind->suffix);
    if (kh_fd_replace_file(AT_FDCWD, path, kh_buf_ptr(bytes), kh_buf_len(bytes), 0644,
                           &err) < 0)
        fprintf(stderr, "kernelhost: %s\n", err.text);
    else
        fprintf(stderr, "[%s %zu bytes: %s]\n", kind->mime, kh_buf_len(bytes), path);
}

static void
picture(struct kh_render *render, const struct kind *kind, const json_t *value)
{
    struct kh_buf text = KH_BUF_INIT, bytes = KH_BUF_INIT;
    const struct kh_buf *data = &text;

    gather(value, &text);
    if (kind->base64) {
        data = &bytes;
        if (kh_base64_decode(&bytes, kh_buf_ptr(&text), kh_buf_len(&text)) < 0) {
            fprintf(stderr, "[%s: the data is no base64]\n", kind->mime);
            goto out;
        }
    }
    if (render->save_dir)
        save(render, kind, data);
    else if (!render->quiet)
        fprintf(stderr, "[%s %zu bytes]\n", kind->mime, kh_buf_len(data));
out:
    kh_buf_release(&text);
    kh_buf_release(&bytes);
}

/* Only mentioned: text/html and the like, where no text/plain stands beside. */
static void
mention(const json_t *data)
{
    struct kh_buf text = KH_BUF_INIT;
    const char *mime;
    json_t *value;

    json_object_foreach((json_t *)data, mime, value)
    {
        AUTO_FREE char *safe = kh_text_safe_copy(mime);

        kh_buf_release(&text);
        gather(value, &text);
        fprintf(stderr, "[%s %zu bytes]\n", safe, kh_buf_len(&text));
    }
    kh_buf_release(&text);
}

static void
display(struct kh_render *render, const json_t *content)
{
    const json_t *data = json_object_get(content, "data");
    const json_t *plain = json_object_get(data, "text/plain");
    struct kh_buf text = KH_BUF_INIT;
    bool shown = false;
    size_t i;

    if (plain && !render->quiet) {
        gather(plain, &text);
        put(STDOUT_FILENO, kh_buf_ptr(&text), kh_buf_len(&text), true);
        kh_buf_release(&text);
        shown = true;
    }
    for (i = 0; i < KH_COUNT(kinds); i++) {
        const json_t *value = json_object_get(data, kinds[i].mime);

        if (value)
            picture(render, &kinds[i], value);
        shown = shown || value;
    }
    if (!shown && !render->quiet)
        mention(data);
}

void
kh_render_message(struct kh_render *render, const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    const char *type = kh_http_text(json_object_get(message, "header"), "msg_type");

    if (!strcmp(type, "error") && !(render->quiet && render->expect_errors))
        error(content);
    else if (!strcmp(type, "stream") && !render->quiet)
        stream(content);
    else if (!strcmp(type, "execute_result") || !strcmp(type, "display_data") ||
             !strcmp(type, "update_display_data"))
        display(render, content);
}

void
kh_render_payload(const json_t *reply)
{
    const json_t *page;
    size_t i;

    json_array_foreach(json_object_get(reply, "payload"), i, page)
    {
        const json_t *data = json_object_get(page, "data");
        struct kh_buf text = KH_BUF_INIT;

        gather(json_object_get(data, "text/plain"), &text);
        if (!strcmp(kh_http_text(page, "source"), "page") && kh_buf_len(&text))
            put_readable(STDOUT_FILENO, kh_buf_ptr(&text), kh_buf_len(&text));
        kh_buf_release(&text);
    }
}
