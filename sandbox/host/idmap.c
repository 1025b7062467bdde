#include "sandbox/host/idmap.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/fd.h"

uint32_t
kh_idmap_first(uint32_t base, uint32_t slot)
{
    return base + slot * KH_IDMAP_SIZE;
}

static int
write_map(pid_t pid, const char *which, uint32_t first, struct kh_error *err)
{
    char path[64], text[64];
    AUTO_FD int fd = -1;
    int r;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, which);
    snprintf(text, sizeof(text), "0 %u %u\n", first, KH_IDMAP_SIZE);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return kh_fail_errno(err, "cannot open '%s'", path);
    /* The kernel takes the map in one write only. */
    r = (int)write(fd, text, strlen(text));
    if (r < 0)
        return kh_fail_errno(err, "cannot write '%s'", path);
    return 0;
}

int
kh_idmap_write(pid_t pid, uint32_t first, struct kh_error *err)
{
    int r = write_map(pid, "uid_map", first, err);

    return r < 0 ? r : write_map(pid, "gid_map", first, err);
}
