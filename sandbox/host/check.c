#include "sandbox/host/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "protocol/link/versions.h"
#include "sandbox/host/gateway.h"
#include "sandbox/host/kit.h"
#include "sandbox/host/snapshot.h"
#include "sandbox/host/store.h"

static int
check_gateway(const char *gateway, struct kh_error *err)
{
    char said[KH_CHECK_VERSIONS_MAX] = "";
    int pair[2], status = -1;
    ssize_t n;
    pid_t pid;

    if (!getpwnam(KH_GATEWAY_USER))
        return kh_fail(err, ENOENT, "there is no system user '" KH_GATEWAY_USER "'");
    if (pipe2(pair, O_CLOEXEC) < 0)
        return kh_fail_errno(err, "cannot make a pipe");
    pid = fork();
    if (pid == 0) {
        dup2(pair[1], STDOUT_FILENO);
        execl(gateway, "kernelhost-gateway", "--versions", NULL);
        _exit(127);
    }
    close(pair[1]);
    n = pid < 0 ? -1 : kh_fd_read_full(pair[0], said, strlen(KH_VERSIONS));
    close(pair[0]);
    if (pid > 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    if (n < 0 || status != 0 || strcmp(said, KH_VERSIONS) != 0)
        return kh_fail(err, EPROTO,
                       "'%s' is not the gateway of this build (hint: make install)",
                       gateway);
    return 0;
}

/* FILE, if it is there, is of an init that the gateway of this build speaks with. */
static int
check_birth(int dir, const char *file, const char *what, const char *name,
            struct kh_error *err)
{
    struct kh_birth birth;
    int r = kh_birth_read(dir, file, &birth, err);

    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = kh_birth_fits(&birth, err);
    return r < 0
               ? kh_fail_in(err, "%s '%s' (hint: stop or remove it first)", what, name)
               : 0;
}

/* 1 if there is one. A record that is being written or removed meanwhile is nothing to
 * complain about. */
static int
check_sandbox(int sandboxes, const char *id, struct kh_error *err)
{
    AUTO_FD int box =
        openat(sandboxes, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    AUTO_FREE char *record = NULL;
    AUTO_FREE char *path = NULL;
    struct kh_record of = {0};
    size_t size = 0;
    int r;

    if (box < 0 ||
        kh_fd_read_file(box, "record", KH_RECORD_SIZE, &record, &size, NULL) == -ENOENT)
        return 0;
    if (!record || kh_record_decode(record, size, &of, err) < 0)
        return kh_fail_in(err, "sandbox '%s'", id);
    if (of.state == KH_SANDBOX_HIBERNATED) {
        path = kh_xasprintf("../memory/%s/" KH_BIRTH_FILE, id);
        r = check_birth(sandboxes, path, "hibernated", of.name, err);
    } else {
        r = check_birth(box, KH_BIRTH_FILE, "running", of.name, err);
    }
    return r < 0 ? r : 1;
}

/* The same. */
static int
check_snapshot(int snapshots, const char *id, struct kh_error *err)
{
    AUTO_FREE char *path = kh_xasprintf("%s/record", id);
    AUTO_FREE char *data = NULL;
    AUTO_FREE char *birth = NULL;
    struct kh_snapshot_record record;
    size_t size = 0;
    int r =
        kh_fd_read_file(snapshots, path, KH_SNAPSHOT_RECORD_SIZE, &data, &size, err);

    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r == 0)
        r = kh_snapshot_decode(data, size, &record, err);
    if (r < 0)
        return kh_fail_in(err, "snapshot '%s'", id);
    birth = kh_xasprintf("%s/" KH_SNAPSHOT_MEMORY_DIR "/" KH_BIRTH_FILE, id);
    r = check_birth(snapshots, birth, "snapshot", record.name, err);
    return r < 0 ? r : 1;
}

/* Returns how many there are. */
static int
check_each(const char *state, const char *name,
           int (*check)(int dir, const char *id, struct kh_error *err),
           struct kh_error *err)
{
    AUTO_FREE char *path = kh_xasprintf("%s/%s", state, name);
    DIR *dir = opendir(path);
    struct dirent *entry;
    int r = 0, count = 0;

    if (!dir)
        return errno == ENOENT ? 0 : kh_fail_errno(err, "cannot list '%s'", path);
    while (r >= 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        r = check(dirfd(dir), entry->d_name, err);
        count += r > 0;
    }
    closedir(dir);
    return r < 0 ? r : count;
}

int
kh_check(const char *state, const char *kit, const char *gateway,
         unsigned *ret_sandboxes, struct kh_error *err)
{
    int r = kh_kit_check(kit, err);

    *ret_sandboxes = 0;
    if (r == 0)
        r = check_gateway(gateway, err);
    if (r == 0)
        r = check_each(state, "sandboxes", check_sandbox, err);
    if (r < 0)
        return r;
    *ret_sandboxes = (unsigned)r;
    r = check_each(state, "snapshots", check_snapshot, err);
    return r < 0 ? r : 0;
}
