/* data: tests whose cases are files and directories under tests/data.
 *
 *     struct dirent **names;
 *     int count = data_list("json", &names);     sorted; NULL-safe on failure
 *     struct kh_slice text = data_file("json/%s", names[0]->d_name);
 *
 * A case that is not there fails the test. Everything read lives until exit.
 */
#ifndef KH_TESTS_DATA_H
#define KH_TESTS_DATA_H

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"
#include "protocol/link/frame.h"

#define DATA_MAX (16u * 1024 * 1024)

/* The path of a file under tests/data. */
static inline const char *
data_path(const char *name)
{
    static char path[4096];
    const char *top = getenv("KH_SRCDIR");

    snprintf(path, sizeof(path), "%s/tests/data/%s", top ? top : ".", name);
    return path;
}

static inline int
data_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Names in a directory; ends the program when there are none. */
static inline int
data_list(const char *directory, struct dirent ***ret_names)
{
    int count = scandir(data_path(directory), ret_names, data_visible, alphasort);

    if (count <= 0) {
        printf("Bail out! no test data in %s\n", data_path(directory));
        exit(1);
    }
    return count;
}

static inline void
data_list_free(struct dirent **names, int count)
{
    while (count--)
        free(names[count]);
    free(names);
}

/* A whole file, NUL-terminated; data is NULL when there is none. The caller
 * frees data. */
__attribute__((format(printf, 1, 2))) static inline struct kh_slice
data_file(const char *format, ...)
{
    struct kh_slice slice = {NULL, 0};
    char name[512], *bytes;
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    if (kh_fd_read_file(AT_FDCWD, data_path(name), DATA_MAX, &bytes, &slice.size,
                        NULL) == 0)
        slice.data = bytes;
    return slice;
}

#endif
