/* standalone: replays a corpus in plain `make check`, where there is no
 * libFuzzer: each file under tests/fuzz/corpus/NAME once, for the program
 * fuzz_NAME. An input that once crashed a parser is added there. */
#include <limits.h>
#include <stdio.h>

#include "tests/data.h"
#include "tests/fuzz/fuzz.h"
#include "tests/tap.h"

int
main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/'), *top = getenv("KH_SRCDIR");
    char directory[PATH_MAX / 2], path[PATH_MAX];
    struct dirent **files;
    int count, i;

    name = name ? name + 1 : argv[0];
    name = strncmp(name, "fuzz_", 5) ? name : name + 5;
    snprintf(directory, sizeof(directory), "%s/tests/fuzz/corpus/%s", top ? top : ".",
             argc > 1 ? argv[1] : name);
    count = scandir(directory, &files, data_visible, alphasort);
    ok(count > 0, "%s has files", directory);
    for (i = 0; i < count; i++) {
        struct kh_error err = {.text = "read"};
        size_t size;
        char *bytes;

        snprintf(path, sizeof(path), "%s/%s", directory, files[i]->d_name);
        if (kh_fd_read_file(AT_FDCWD, path, DATA_MAX, &bytes, &size, &err) == 0) {
            uint8_t *exact = malloc(size ? size : 1);

            /* Without the NUL behind it, for the sanitizers to watch its end. */
            memcpy(exact, bytes, size);
            LLVMFuzzerTestOneInput(exact, size);
            free(exact);
            free(bytes);
        }
        is_str(err.text, "read", "%s", files[i]->d_name);
    }
    if (count > 0)
        data_list_free(files, count);
    return done();
}
