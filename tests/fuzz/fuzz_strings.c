#include "base/buf.h"
#include "sandbox/init/kind.h"
#include "sandbox/init/spawn.h"
#include "tests/fuzz/fuzz.h"

/* What a client sends for argv, environment and directory of a process. The strings
 * together are the bytes that came; every one of an environment is K=V, once. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kh_slice slice = {data, size};
    char **strings, **env, *cwd;
    size_t i, j, total = 0;

    if (kh_kind_cwd(slice, &cwd, NULL) == 0) {
        MUST(cwd[0] == '/' && (!size || strlen(cwd) == size));
        free(cwd);
    }
    if (kh_spawn_strings(slice, &strings, NULL) < 0)
        return 0;
    for (i = 0; strings[i]; total += strlen(strings[i++]) + 1)
        MUST(!memcmp(strings[i], data + total, strlen(strings[i]) + 1));
    MUST(total == size);
    if (kh_spawn_env(NULL, strings, &env, NULL) == 0) {
        for (i = 0; env[i]; i++) {
            MUST(strchr(env[i], '='));
            for (j = 0; j < i && i < 100; j++)
                MUST(strncmp(env[i], env[j], strcspn(env[i], "=") + 1));
        }
        free(env);
    }
    free(strings);
    return 0;
}
