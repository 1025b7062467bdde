#include "sandbox/host/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clean.h"
#include "base/fd.h"
#include "sandbox/host/sys.h"

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

int
kh_idmap_hold(uint32_t first, struct kh_error *err)
{
    int pidfd = -1, userns = -1, r;
    pid_t pid = kh_sys_clone(CLONE_NEWUSER, -1, &pidfd);
    char path[48];

    if (pid == 0)
        for (;;)
            pause();
    if (pid < 0)
        return kh_fail_errno(err, "cannot make a user namespace");
    r = kh_idmap_write(pid, first, err);
    if (r == 0) {
        snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
        userns = open(path, O_RDONLY | O_CLOEXEC);
        r = userns < 0 ? kh_fail_errno(err, "cannot open a user namespace") : userns;
    }
    (void)kh_sys_pidfd_signal(pidfd, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(pidfd);
    return r;
}
