#include "sandbox/image/command.h"

#include <errno.h>
#include <string.h>

#include "base/clean.h"
#include "sandbox/image/progress.h"

int
kh_command_value(char *word, const char *const *names, size_t count,
                 const char **values)
{
    size_t i;

    for (i = 0; i < count; i++) {
        size_t length = strlen(names[i]);

        if (!strncmp(word + 2, names[i], length) && word[2 + length] == '=') {
            values[i] = word + 3 + length;
            return 0;
        }
    }
    return -EINVAL;
}

int
kh_command_status(int code)
{
    static const struct {
        int code, status;
    } map[] = {{EINVAL, 2}, {ENOENT, 3}, {EEXIST, 4}, {EBUSY, 4}, {EHOSTDOWN, 5}};
    size_t i;

    if (kh_progress_stopped())
        return 128 + kh_progress_stopped();
    for (i = 0; i < KH_COUNT(map); i++)
        if (map[i].code == code)
            return map[i].status;
    return 1;
}
