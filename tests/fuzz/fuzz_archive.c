#include <errno.h>
#include <string.h>

#include "sandbox/archive/parse.h"
#include "tests/fuzz/fuzz.h"

struct seen {
    const uint8_t *data;
    size_t size;
    uint32_t depth, files;
    uint64_t end; /* of the file that is open */
    struct kh_archive_entry entry;
    bool file;
};

/* In pieces of odd sizes, as a pipe gives them. */
static int
more(void *arg, const void **ret_data, size_t *ret_size, struct kh_error *err)
{
    struct seen *seen = arg;
    size_t now = seen->size < 13 ? seen->size : 13;

    (void)err;
    *ret_data = seen->data;
    *ret_size = now;
    seen->data += now;
    seen->size -= now;
    return now > 0;
}

static int
on_entry(void *arg, const struct kh_archive_entry *e, struct kh_error *err)
{
    struct seen *seen = arg;
    uint32_t i, sum = 0;

    (void)err;
    MUST(!seen->file);
    MUST(seen->depth ? *e->name && !strchr(e->name, '/') && strcmp(e->name, ".") != 0 &&
                           strcmp(e->name, "..") != 0
                     : !*e->name && e->kind == KH_ARCHIVE_DIRECTORY);
    MUST(e->mode <= 07777 && e->uid <= KH_ARCHIVE_ID_MAX &&
         e->gid <= KH_ARCHIVE_ID_MAX && e->mtime_ns < 1000000000);
    for (i = 0; i < e->xattrs; i++) {
        MUST(kh_archive_keeps(e->xattr[i].name));
        if (e->xattr[i].size)
            sum += e->xattr[i].value[e->xattr[i].size - 1];
    }
    MUST(sum <= 255 * KH_ARCHIVE_XATTRS_MAX);
    seen->entry = *e;
    seen->end = 0;
    if (e->kind == KH_ARCHIVE_DIRECTORY)
        MUST(++seen->depth <= KH_ARCHIVE_DEPTH_MAX);
    seen->file = e->kind == KH_ARCHIVE_FILE;
    if (seen->file && e->number)
        MUST(e->number == ++seen->files);
    if (e->kind == KH_ARCHIVE_SAME)
        MUST(e->number && e->number <= seen->files);
    if (e->kind == KH_ARCHIVE_LINK)
        MUST(*e->target);
    return 0;
}

static int
on_data(void *arg, uint64_t offset, const uint8_t *data, size_t size,
        struct kh_error *err)
{
    struct seen *seen = arg;

    (void)err;
    MUST(seen->file && size && offset >= seen->end);
    MUST(offset <= seen->entry.size && size <= seen->entry.size - offset);
    MUST(data[0] + data[size - 1] <= 510);
    seen->end = offset + size;
    return 0;
}

static int
on_leave(void *arg, struct kh_error *err)
{
    struct seen *seen = arg;

    (void)err;
    if (!seen->file)
        MUST(seen->depth-- > 0);
    seen->file = false;
    return 0;
}

/* What is in an envelope, without the envelope. What is told of it is in bounds. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {.data = data, .size = size};
    const struct kh_archive_sink sink = {on_entry, on_data, on_leave, &seen};
    struct kh_archive_info info;
    struct kh_error err = {0};

    if (kh_archive_parse_info(data, size, &info, NULL) == 0)
        MUST(kh_name_valid(info.name) && kh_image_name_valid(info.image));
    if (kh_archive_parse(more, &seen, &sink, &err) == 0)
        MUST(seen.depth == 0 && !seen.file && seen.size == 0);
    else
        MUST(err.code == EBADMSG && memchr(err.text, 0, sizeof(err.text)));
    return 0;
}
