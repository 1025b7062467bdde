#include "base/cgroup.h"
#include "base/mem.h"
#include "tests/fuzz/fuzz.h"

/* Whatever the kernel's text says, a path fits and has no line in it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"memory", "cpu"};
    char path[KH_CGROUP_PATH_SIZE], *text = kh_xmemdup(data, size);

    if (kh_cgroup_mount(text, "cgroup", "memory", path))
        MUST(memchr(path, 0, sizeof(path)) && !strpbrk(path, " \n"));
    if (kh_cgroup_mount(text, "cgroup2", NULL, path))
        MUST(memchr(path, 0, sizeof(path)) && !strpbrk(path, " \n"));
    if (kh_cgroup_path(text, "memory", path))
        MUST(memchr(path, 0, sizeof(path)) && !strchr(path, '\n'));
    if (kh_cgroup_has_all(text, names, 2))
        MUST(strstr(text, "memory") && strstr(text, "cpu"));
    free(text);
    return 0;
}
