#include "sandbox/host/privs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <stddef.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clean.h"

static int
cap_get(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

    return (int)syscall(SYS_capget, &head, data);
}

static int
cap_put(const struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

    return (int)syscall(SYS_capset, &head, data);
}

int
kh_privs_fs_ids(uint32_t first, struct kh_error *err)
{
    struct __user_cap_data_struct data[2];
    int i;

    if (cap_get(data) < 0)
        return kh_fail_errno(err, "cannot read the capabilities");
    setfsgid(first);
    setfsuid(first);
    for (i = 0; i < 2; i++)
        data[i].effective = data[i].permitted;
    /* With it, limits of disks would not be for what is done on our behalf. */
    data[0].effective &= ~(1u << CAP_SYS_RESOURCE);
    data[0].permitted &= ~(1u << CAP_SYS_RESOURCE);
    if (cap_put(data) < 0)
        return kh_fail_errno(err, "cannot keep the capabilities");
    /* setfsuid has no error; asking with an impossible id returns the present one. */
    if ((uint32_t)setfsuid((uid_t)-1) != first ||
        (uint32_t)setfsgid((gid_t)-1) != first)
        return kh_fail(err, EPERM, "cannot take filesystem id %u", first);
    return 0;
}

int
kh_privs_lend_euid(uint32_t id, struct kh_error *err)
{
    struct __user_cap_data_struct data[2];
    int i;

    if (cap_get(data) < 0)
        return kh_fail_errno(err, "cannot read the capabilities");
    if (seteuid(id) < 0)
        return kh_fail_errno(err, "cannot take effective id %u", id);
    setfsuid(0);
    for (i = 0; i < 2; i++)
        data[i].effective = data[i].permitted;
    if (cap_put(data) == 0 && setfsuid((uid_t)-1) == 0)
        return 0;
    kh_fail(err, EPERM, "cannot keep the capabilities under effective id %u", id);
    (void)kh_privs_take_euid_back(NULL);
    return -EPERM;
}

/* Only ambient capabilities are kept by a program that is executed under another
 * effective id than root's. */
int
kh_privs_carry(uint32_t id, struct kh_error *err)
{
    struct __user_cap_data_struct data[2];
    unsigned cap;
    int i;

    /* Else exec takes us for one that gains a group, and clears them all. */
    setfsgid(getegid());
    if (kh_privs_lend_euid(id, err) < 0)
        return -err->code;
    if (cap_get(data) < 0)
        return kh_fail_errno(err, "cannot read the capabilities");
    for (i = 0; i < 2; i++)
        data[i].inheritable = data[i].permitted;
    if (cap_put(data) < 0)
        return kh_fail_errno(err, "cannot set the inheritable capabilities");
    for (cap = 0; cap < 64; cap++)
        if (data[cap / 32].permitted & (1u << cap % 32) &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return kh_fail_errno(err, "cannot keep capability %u", cap);
    return 0;
}

int
kh_privs_take_euid_back(struct kh_error *err)
{
    return seteuid(0) < 0 ? kh_fail_errno(err, "cannot be root again") : 0;
}

int
kh_privs_become_root(struct kh_error *err)
{
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return kh_fail_errno(err, "cannot become root of the user namespace");
    return 0;
}

/* Else every process inside would possess the keys of who started the host. */
int
kh_privs_fresh_keyring(struct kh_error *err)
{
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 &&
        errno != ENOSYS)
        return kh_fail_errno(err, "cannot join a session keyring (hint: sysctl "
                                  "kernel.keys.maxkeys)");
    return 0;
}

static int
empty_bounding_set(struct kh_error *err)
{
    int cap;

    for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return kh_fail_errno(err, "cannot drop capability %d", cap);
    return 0;
}

int
kh_privs_become_nobody(uint32_t uid, struct kh_error *err)
{
    static const struct __user_cap_data_struct none[2];

    if (kh_privs_fresh_keyring(err) < 0 || empty_bounding_set(err) < 0)
        return -err->code;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return kh_fail_errno(err, "cannot clear the ambient capabilities");
    if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
        setresuid(uid, uid, uid) < 0)
        return kh_fail_errno(err, "cannot become user %u", uid);
    if (cap_put(none) < 0)
        return kh_fail_errno(err, "cannot drop the capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return kh_fail_errno(err, "cannot set no_new_privs");
    return 0;
}

/* What root of a user namespace keeps over exec is the bounding and the inheritable
 * set. The bounding set is for everybody and for good, so it is emptied; what init
 * needs comes through the inheritable set, which init empties as it starts. */
int
kh_privs_drop(struct kh_error *err)
{
    struct __user_cap_data_struct data[2] = {0};

    if (kh_privs_fresh_keyring(err) < 0)
        return -err->code;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return kh_fail_errno(err, "cannot clear the ambient capabilities");
    if (cap_get(data) < 0)
        return kh_fail_errno(err, "cannot read the capabilities");
    /* Before the bounding set goes: nothing outside of it can be added. */
    data[0].inheritable = (uint32_t)KH_INIT_CAPS;
    data[1].inheritable = 0;
    if (cap_put(data) < 0)
        return kh_fail_errno(err, "cannot set the inheritable capabilities");
    if (empty_bounding_set(err) < 0)
        return -err->code;
    data[0].effective = data[0].permitted = (uint32_t)KH_INIT_CAPS;
    data[1].effective = data[1].permitted = 0;
    if (cap_put(data) < 0)
        return kh_fail_errno(err, "cannot drop the capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return kh_fail_errno(err, "cannot set no_new_privs");
    return 0;
}

/* These sysctls are the ones of the opener's user namespace. */
int
kh_privs_counts(struct kh_error *err)
{
    static const struct {
        const char *path;
        const char *most;
    } limited[] = {
        {"/proc/sys/user/max_user_namespaces", "0"},
        {"/proc/sys/user/max_inotify_instances", "128"},
        {"/proc/sys/user/max_inotify_watches", "131072"},
    };
    size_t i;

    for (i = 0; i < KH_COUNT(limited); i++) {
        AUTO_FD int fd = open(limited[i].path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, limited[i].most, strlen(limited[i].most)) < 0)
            return kh_fail_errno(err, "cannot write '%s'", limited[i].path);
    }
    return 0;
}

int
kh_privs_rlimits(struct kh_error *err)
{
    static const struct {
        int resource;
        rlim_t soft, hard;
    } limits[] = {
        {RLIMIT_CORE, 0, 0},
        {RLIMIT_NOFILE, 4096, 16384},
        {RLIMIT_MEMLOCK, 64 * 1024, 64 * 1024},
        {RLIMIT_MSGQUEUE, 819200, 819200},
        {RLIMIT_SIGPENDING, 4096, 4096},
        {RLIMIT_RTPRIO, 0, 0},
        {RLIMIT_NICE, 0, 0},
    };
    size_t i;

    for (i = 0; i < KH_COUNT(limits); i++) {
        struct rlimit now, want = {limits[i].soft, limits[i].hard};

        if (getrlimit(limits[i].resource, &now) < 0)
            return kh_fail_errno(err, "cannot read resource limit %d",
                                 limits[i].resource);
        /* Never above what the host allows: raising needs CAP_SYS_RESOURCE. */
        if (now.rlim_max < want.rlim_max)
            want.rlim_max = now.rlim_max;
        if (want.rlim_max < want.rlim_cur)
            want.rlim_cur = want.rlim_max;
        if (setrlimit(limits[i].resource, &want) < 0)
            return kh_fail_errno(err, "cannot set resource limit %d",
                                 limits[i].resource);
    }
    return 0;
}
