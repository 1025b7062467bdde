#include "base/cgroup.h"

#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"

bool
kh_cgroup_has_word(const char *text, const char *separators, const char *word)
{
    size_t length = strlen(word);

    text += strspn(text, separators);
    while (*text) {
        size_t n = strcspn(text, separators);

        if (n == length && !strncmp(text, word, n))
            return true;
        text += n;
        text += strspn(text, separators);
    }
    return false;
}

bool
kh_cgroup_has_all(const char *controllers, const char *const *names, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (!kh_cgroup_has_word(controllers, " \n", names[i]))
            return false;
    return true;
}

/* "36 35 98:0 /root /mountpoint rw,noatime shared:1 - type source super,options" */
static bool
is_mount(const char *line, const char *type, const char *controller,
         char ret_point[KH_CGROUP_PATH_SIZE])
{
    const char *tail = strstr(line, " - ");
    char fs[32], super[512];

    return tail && sscanf(tail, " - %31s %*s %511s", fs, super) == 2 &&
           !strcmp(fs, type) &&
           (!controller || kh_cgroup_has_word(super, ",", controller)) &&
           sscanf(line, "%*s %*s %*s %*s %2047s", ret_point) == 1;
}

bool
kh_cgroup_mount(const char *mountinfo, const char *type, const char *controller,
                char ret_point[KH_CGROUP_PATH_SIZE])
{
    AUTO_FREE char *text = kh_xstrdup(mountinfo);
    char *line, *save = NULL;

    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (is_mount(line, type, controller, ret_point))
            return true;
    return false;
}

/* "7:cpu,cpuacct:/path" */
static bool
is_own(char *line, const char *controller, char ret_path[KH_CGROUP_PATH_SIZE])
{
    char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

    if (!path || strlen(path + 1) >= KH_CGROUP_PATH_SIZE)
        return false;
    *path++ = '\0';
    if (!kh_cgroup_has_word(names + 1, ",", controller))
        return false;
    memcpy(ret_path, path, strlen(path) + 1);
    return true;
}

bool
kh_cgroup_path(const char *text, const char *controller,
               char ret_path[KH_CGROUP_PATH_SIZE])
{
    AUTO_FREE char *copy = kh_xstrdup(text);
    char *line, *save = NULL;

    for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (is_own(line, controller, ret_path))
            return true;
    return false;
}
