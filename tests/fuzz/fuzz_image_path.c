#include "sandbox/image/fit.h"
#include "sandbox/image/path.h"
#include "tests/fuzz/fuzz.h"

static bool
clean(const char *path)
{
    return *path != '/' && !strstr(path, "//") && !strstr(path, "/../") &&
           strncmp(path, "../", 3) != 0 && strlen(path) <= KH_PATH_MAX;
}

/* Whatever is taken stays below the root, is said the same way twice, and names one
 * component; links of a table of contents and lines of passwd with it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(1, size + 1), *line, whole[KH_PATH_MAX + 1];
    char again[KH_PATH_MAX + 1], shown[KH_PATH_SHOWN];
    struct kh_path path, second;

    memcpy(text, data, size);
    if (kh_path_read(text, &path, NULL) == 0) {
        MUST(clean(path.parent) && !strchr(path.name, '/'));
        MUST(strcmp(path.name, "..") != 0 && strcmp(path.name, ".") != 0);
        kh_path_whole(&path, whole);
        MUST(clean(whole));
        if (path.kind == KH_PATH_PLAIN) {
            MUST(kh_path_read(whole, &second, NULL) == 0);
            kh_path_whole(&second, again);
            MUST(!strcmp(whole, again));
        }
    }
    if (kh_path_join("a/b/c", text, whole, NULL) == 0)
        MUST(clean(whole));
    if (kh_path_of_layout(text))
        MUST(clean(text) && strlen(text) <= 13 + 64);
    (void)kh_path_of_archive(text);
    MUST(strlen(kh_path_show(text, shown)) < KH_PATH_SHOWN);
    line = kh_fit_line(text, "user:x:1000:");
    if (line) {
        MUST(!strncmp(line, text, strlen(text)));
        MUST(!kh_fit_line(line, "user:x:1000:"));
    }
    free(line);
    free(text);
    return 0;
}
