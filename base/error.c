#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
kh_fail(struct kh_error *err, int code, const char *format, ...)
{
    va_list args;

    if (err) {
        err->code = code;
        va_start(args, format);
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
    }
    return -code;
}

int
kh_fail_errno(struct kh_error *err, const char *format, ...)
{
    int code = errno;
    va_list args;
    size_t used;

    if (err) {
        err->code = code;
        va_start(args, format);
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        used = strlen(err->text);
        snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(code));
    }
    errno = code;
    return -code;
}

int
kh_fail_in(struct kh_error *err, const char *format, ...)
{
    char inner[KH_ERROR_TEXT_MAX];
    va_list args;
    size_t used;

    if (!err)
        return -EIO;
    memcpy(inner, err->text, sizeof(inner));
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof(err->text) - used, ": %s", inner);
    return err->code > 0 ? -err->code : -EIO;
}
