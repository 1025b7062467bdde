#include "protocol/link/broker.h"

#include <string.h>

static bool
is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
valid(const char *name, size_t size, const char *inner)
{
    size_t length = strnlen(name, size), i;

    if (length == 0 || length == size)
        return false;
    if (!is_alnum(name[0]) || !is_alnum(name[length - 1]))
        return false;
    for (i = 1; i + 1 < length; i++)
        if (!is_alnum(name[i]) && !strchr(inner, name[i]))
            return false;
    return true;
}

bool
kh_name_valid(const char *name)
{
    return valid(name, KH_NAME_SIZE, "-");
}

bool
kh_image_name_valid(const char *name)
{
    return valid(name, KH_IMAGE_NAME_SIZE, "._-");
}

bool
kh_snapshot_name_valid(const char *name, bool temporary)
{
    if (!temporary)
        return kh_name_valid(name);
    return name[0] == '~' && valid(name + 1, KH_NAME_SIZE - 1, "-");
}
