#include "kernelhost/cli/print.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernelhost/cli/text.h"

static int
add_bytes(const char *p, size_t size, void *arg)
{
    kh_buf_add(arg, p, size);
    return 0;
}

static void
put(struct kh_buf *out)
{
    kh_fd_write_full(STDOUT_FILENO, kh_buf_ptr(out), kh_buf_len(out));
    kh_buf_release(out);
}

void
kh_print_json(const json_t *value)
{
    struct kh_buf out = KH_BUF_INIT;

    json_dump_callback(value, add_bytes, &out, JSON_INDENT(2) | JSON_ENCODE_ANY);
    kh_buf_add(&out, "\n", 1);
    put(&out);
}

void
kh_print_table(const struct kh_table *table)
{
    struct kh_buf out = KH_BUF_INIT;

    kh_table_print(table, &out);
    put(&out);
}

void
kh_print_line(const char *text)
{
    struct kh_buf out = KH_BUF_INIT;

    kh_buf_addf(&out, "%s\n", text);
    put(&out);
}

char *
kh_print_time(const char *text, char out[static KH_TIME_TEXT])
{
    struct tm tm = {0}, local;
    time_t t;

    snprintf(out, KH_TIME_TEXT, "-");
    if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
        return out;
    t = timegm(&tm);
    if (localtime_r(&t, &local))
        strftime(out, KH_TIME_TEXT, "%Y-%m-%d %H:%M", &local);
    return out;
}
