/* below: system calls on a tree that somebody else made, and nothing else.
 *
 * Every name is taken below a directory, through no link and onto no other mount. */
#ifndef KH_IMAGE_BELOW_H
#define KH_IMAGE_BELOW_H

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* openat2, close-on-exec. The last component may be a link only with O_PATH and
 * O_NOFOLLOW, and is then opened itself. */
static inline int
kh_below_open(int dir, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                   RESOLVE_NO_XDEV,
    };

    return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

#endif
