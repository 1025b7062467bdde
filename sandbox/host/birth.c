#include "sandbox/host/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "protocol/link/init.h"
#include "sandbox/host/fields.h"
#include "sandbox/host/idmap.h"
#include "sandbox/host/posture.h"
#include "sandbox/host/sys.h"

#define PROC_MAX    16384
#define KILL_MAX_MS 5000

static void
list(struct kh_cursor *c, void *value)
{
    struct kh_birth *b = value;

    kh_field_bytes(c, b->boot_id, sizeof(b->boot_id));
    kh_field_bytes(c, b->kit, sizeof(b->kit));
    kh_field_u32(c, &b->pid);
    kh_field_u64(c, &b->start_time);
    kh_field_u32(c, &b->slot);
    kh_field_u32(c, &b->zygote);
    kh_field_u32(c, &b->id_first);
    kh_field_u64(c, &b->started);
    kh_field_u32(c, &b->init_version);
    kh_field_u64(c, &b->boot); /* 0 in those of earlier hosts */
    kh_field_bytes(c, b->place, sizeof(b->place));
    kh_field_u32(c, &b->again);
}

static const struct kh_fields kind = {
    .what = "birth",
    .magic = "kernelhost-pid\n",
    .version = 1,
    .size = KH_BIRTH_SIZE,
    .list = list,
};

size_t
kh_birth_encode(const struct kh_birth *birth, void *out, size_t size)
{
    struct kh_birth copy = *birth;

    if (size < KH_BIRTH_SIZE)
        return 0;
    kh_fields_encode(&kind, &copy, out);
    return KH_BIRTH_SIZE;
}

int
kh_birth_decode(const void *data, size_t size, struct kh_birth *ret_birth,
                struct kh_error *err)
{
    struct kh_birth b = {0};
    int r = kh_fields_decode(&kind, data, size, &b, err);

    if (r < 0)
        return r;
    if (!memchr(b.boot_id, 0, sizeof(b.boot_id)) || !memchr(b.kit, 0, sizeof(b.kit)))
        return kh_fail(err, EBADMSG, "birth has an endless text");
    if (b.pid <= 1 || b.pid > INT32_MAX || !b.id_first)
        return kh_fail(err, EBADMSG, "birth names an impossible process");
    *ret_birth = b;
    return 0;
}

int
kh_birth_read(int dir, const char *file, struct kh_birth *ret_birth,
              struct kh_error *err)
{
    AUTO_FREE char *data = NULL;
    size_t size = 0;
    int r = kh_fd_read_file(dir, file, KH_BIRTH_SIZE, &data, &size, err);

    return r < 0 ? r : kh_birth_decode(data, size, ret_birth, err);
}

int
kh_birth_fits(const struct kh_birth *birth, struct kh_error *err)
{
    if (birth->init_version == KH_INIT_VERSION)
        return 0;
    return kh_fail(
        err, EPROTO,
        "its kernelhost-init speaks version %u, the gateway of this build %d",
        birth->init_version, KH_INIT_VERSION);
}

static int
read_boot_id(char out[KH_BOOT_ID_SIZE], struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    int r = kh_fd_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id",
                            KH_BOOT_ID_SIZE, &text, &size, err);

    if (r < 0)
        return r;
    if (size < KH_BOOT_ID_SIZE - 1)
        return kh_fail(err, EIO, "the host's boot id is no UUID");
    snprintf(out, KH_BOOT_ID_SIZE, "%.*s", KH_BOOT_ID_SIZE - 1, text);
    return 0;
}

static int
read_proc(pid_t pid, const char *file, char **ret_text, struct kh_error *err)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    return kh_fd_read_file(AT_FDCWD, path, PROC_MAX, ret_text, NULL, err);
}

/* Field 22 of stat; the second, a name in brackets, may hold anything. */
static int
read_start_time(pid_t pid, uint64_t *ret_time, struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    int r = read_proc(pid, "stat", &text, err), field;
    char *at = r < 0 ? NULL : strrchr(text, ')');

    for (field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (r == 0 && !at)
        r = kh_fail(err, EIO, "cannot find the start time of process %d", (int)pid);
    if (r == 0)
        *ret_time = strtoull(at + 1, NULL, 10);
    return r;
}

int
kh_birth_note(struct kh_birth *birth, pid_t pid, struct kh_error *err)
{
    int r = read_boot_id(birth->boot_id, err);

    birth->pid = (uint32_t)pid;
    return r < 0 ? r : read_start_time(pid, &birth->start_time, err);
}

/* Numbers in the NSpid line of PID's status: one a pid namespace that we see. */
int
kh_birth_levels(pid_t pid, long *ret_last, struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    int r = read_proc(pid, "status", &text, err), count = 0;
    char *at = r < 0 ? NULL : strstr(text, "\nNSpid:"), *next;

    if (r < 0)
        return r;
    for (at = at ? at + strlen("\nNSpid:") : text; *at == '\t'; at = next) {
        *ret_last = strtol(at, &next, 10);
        count++;
    }
    return count;
}

static int
check_first(pid_t pid, struct kh_error *err)
{
    long last = 0, unused;
    int theirs = kh_birth_levels(pid, &last, err);
    int ours = theirs < 0 ? theirs : kh_birth_levels(getpid(), &unused, err);

    if (ours < 0)
        return ours;
    if (theirs != ours + 1 || last != 1)
        return kh_fail(err, EPERM, "process %d is not first in a pid namespace below",
                       (int)pid);
    return 0;
}

static int
check_map(pid_t pid, const char *file, uint32_t first, struct kh_error *err)
{
    AUTO_FREE char *text = NULL;
    unsigned inside, outside, size;
    int r = read_proc(pid, file, &text, err), length = 0;

    if (r < 0)
        return r;
    if (sscanf(text, "%u %u %u %n", &inside, &outside, &size, &length) != 3 ||
        inside != 0 || outside != first || size != KH_IDMAP_SIZE || text[length])
        return kh_fail(err, EPERM, "%s of process %d is not that of the sandbox", file,
                       (int)pid);
    return 0;
}

static int
check(const struct kh_birth *birth, struct kh_cgroups *groups, const char *id,
      struct kh_error *err)
{
    pid_t pid = (pid_t)birth->pid;
    int r = check_first(pid, err);

    if (r == 0)
        r = check_map(pid, "uid_map", birth->id_first, err);
    if (r == 0)
        r = check_map(pid, "gid_map", birth->id_first, err);
    if (r == 0 && !kh_cgroup_holds(groups, id, pid))
        r = kh_fail(err, EPERM, "process %d is not in the sandbox's cgroups", (int)pid);
    return r < 0 ? r : kh_posture_check(birth->id_first, pid, err);
}

static bool
has_ended(int pidfd, int timeout_ms)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};

    return poll(&poller, 1, timeout_ms) != 0;
}

static void
put_down(int pidfd)
{
    siginfo_t info;

    (void)kh_sys_pidfd_signal(pidfd, SIGKILL);
    (void)has_ended(pidfd, KILL_MAX_MS);
    (void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
}

int
kh_birth_claim(const struct kh_birth *birth, struct kh_cgroups *groups, const char *id,
               struct kh_error *err)
{
    AUTO_FD int pidfd = -1;
    char boot_id[KH_BOOT_ID_SIZE];
    uint64_t start_time = 0;
    int r = read_boot_id(boot_id, err);

    if (r < 0)
        return r;
    if (strcmp(boot_id, birth->boot_id) != 0)
        return kh_fail(err, ESRCH, "the machine was started again");
    /* From here on the number is that of one process, or of none: all that is read
     * below /proc is of the one behind the pidfd if it lives when all is read. */
    pidfd = kh_sys_pidfd_open((pid_t)birth->pid);
    if (pidfd < 0 || read_start_time((pid_t)birth->pid, &start_time, NULL) < 0)
        return kh_fail(err, ESRCH, "its first process has ended");
    if (start_time != birth->start_time)
        return kh_fail(err, ESRCH,
                       "its first process has ended, another has the "
                       "number");
    r = check(birth, groups, id, err);
    if (has_ended(pidfd, 0)) {
        put_down(pidfd);
        return kh_fail(err, ESRCH, "its first process has ended");
    }
    if (r < 0) {
        /* Who is not in this sandbox's cgroups is none of ours, whatever the file
         * says. Who is in them is ended with all that they hold, but those may be
         * elsewhere than they were when kernelhostd was started elsewhere (v1). */
        if (kh_cgroup_holds(groups, id, (pid_t)birth->pid))
            put_down(pidfd);
        err->code = EPERM;
        return -EPERM;
    }
    return STEAL_FD(pidfd);
}
