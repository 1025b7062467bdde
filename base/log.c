#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1000

static const char *log_program = "kernelhost";
static enum kh_log_level log_level = KH_LOG_INFO;

void
kh_log_open(const char *program, enum kh_log_level level)
{
    log_program = program;
    log_level = level;
}

void
kh_log(enum kh_log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[LINE_MAX_BYTES + 2];
    va_list args;
    int n, m;

    if (level > log_level)
        return;
    n = snprintf(line, LINE_MAX_BYTES, "%s: %s ", log_program, names[level]);
    va_start(args, format);
    m = vsnprintf(line + n, (size_t)(LINE_MAX_BYTES - n), format, args);
    va_end(args);
    n = m < LINE_MAX_BYTES - n ? n + m : LINE_MAX_BYTES - 1;
    for (m = 0; m < n; m++)
        if ((unsigned char)line[m] < 0x20 || line[m] == 0x7f)
            line[m] = '?';
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nowhere left to say it */
}

char *
kh_log_clean(const void *p, size_t size, char *out, size_t out_size)
{
    const unsigned char *in = p;
    size_t used = 0, i;

    for (i = 0; i < size; i++) {
        if (used + 8 > out_size) {
            snprintf(out + used, out_size - used, "...");
            return out;
        }
        if (in[i] >= 0x20 && in[i] < 0x7f && in[i] != '\\')
            out[used++] = (char)in[i];
        else
            used += (size_t)snprintf(out + used, out_size - used, "\\x%02x", in[i]);
    }
    out[used] = '\0';
    return out;
}
