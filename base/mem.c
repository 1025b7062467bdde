#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
need(void *p)
{
    if (!p) {
        fputs("kernelhost: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *
kh_xcalloc(size_t count, size_t size)
{
    return need(calloc(count ? count : 1, size ? size : 1));
}

void *
kh_xrealloc(void *p, size_t size)
{
    return need(realloc(p, size ? size : 1));
}

char *
kh_xstrdup(const char *s)
{
    return need(strdup(s));
}

void *
kh_xmemdup(const void *p, size_t size)
{
    char *copy = need(malloc(size + 1));

    if (size)
        memcpy(copy, p, size);
    copy[size] = '\0';
    return copy;
}

char *
kh_xasprintf(const char *format, ...)
{
    va_list args;
    char *s = NULL;

    va_start(args, format);
    if (vasprintf(&s, format, args) < 0)
        s = NULL;
    va_end(args);
    return need(s);
}
