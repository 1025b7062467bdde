#include "sandbox/host/cgroup_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/cgroup_find.h"

static struct kh_cgroups *
cgroups_new(const char *key)
{
    struct kh_cgroups *groups = kh_xcalloc(1, sizeof(*groups));
    int role;

    snprintf(groups->key, sizeof(groups->key), "%s", key);
    for (role = 0; role < KH_CGROUP_ROLES; role++)
        groups->parent[role] = -1;
    return groups;
}

void
kh_cgroups_free(struct kh_cgroups *groups)
{
    int role;

    if (!groups)
        return;
    for (role = 0; role < KH_CGROUP_ROLES; role++)
        kh_fd_close(&groups->parent[role]);
    free(groups);
}

const char *
kh_cgroup_file(char *out, size_t size, const char *id, const char *file)
{
    snprintf(out, size, "%s/%s", id, file);
    return out;
}

int
kh_cgroup_put(int dir, const char *name, const char *text, struct kh_error *err)
{
    AUTO_FD int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return kh_fail_errno(err, "cannot open cgroup file '%s'", name);
    if (write(fd, text, strlen(text)) < 0)
        return kh_fail_errno(err, "cannot write '%s' to cgroup file '%s'", text, name);
    return 0;
}

static int
enter(int dir, const char *name, struct kh_error *err)
{
    int fd;

    if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
        return kh_fail_errno(err, "cannot make cgroup '%s'", name);
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? kh_fail_errno(err, "cannot open cgroup '%s'", name) : fd;
}

/* "kernelhost/KEY" below ROOT, handing the controllers down on v2. */
static int
open_parent(int root, const char *key, const char *controllers, struct kh_error *err)
{
    AUTO_FD int top = enter(root, "kernelhost", err);
    AUTO_FD int mine = -1;

    if (top < 0)
        return top;
    if (controllers &&
        (kh_cgroup_put(root, "cgroup.subtree_control", controllers, err) < 0 ||
         kh_cgroup_put(top, "cgroup.subtree_control", controllers, err) < 0))
        return kh_fail_in(err, "hand down the controllers");
    mine = enter(top, key, err);
    if (mine < 0)
        return mine;
    if (controllers &&
        kh_cgroup_put(mine, "cgroup.subtree_control", controllers, err) < 0)
        return kh_fail_in(err, "hand down the controllers");
    return STEAL_FD(mine);
}

int
kh_cgroups_open_v2(int root, const char *key, struct kh_cgroups **ret_groups,
                   struct kh_error *err)
{
    AUTO(kh_cgroups) struct kh_cgroups *groups = cgroups_new(key);
    AUTO_FD int parent = open_parent(root, key, "+memory +cpu +pids", err);
    int role;

    if (parent < 0)
        return parent;
    for (role = 0; role < KH_CGROUP_ROLES; role++) {
        groups->v2[role] = true;
        groups->parent[role] = fcntl(parent, F_DUPFD_CLOEXEC, 0);
        if (groups->parent[role] < 0)
            return kh_fail_errno(err, "cannot duplicate a descriptor");
    }
    *ret_groups = STEAL_PTR(groups);
    return 0;
}

int
kh_cgroups_open(const char *key, struct kh_cgroups **ret_groups, struct kh_error *err)
{
    static const char *const names[] = {"memory", "cpu", "pids"};
    AUTO(kh_cgroups) struct kh_cgroups *groups = NULL;
    AUTO_FD int unified = kh_cgroup_find_v2(err);
    int role;

    if (unified >= 0 && kh_cgroup_has_controllers(unified, names, KH_COUNT(names)))
        return kh_cgroups_open_v2(unified, key, ret_groups, err);
    groups = cgroups_new(key);
    for (role = 0; role < KH_CGROUP_KILL; role++) {
        AUTO_FD int root = kh_cgroup_find_v1(names[role], err);

        if (root < 0)
            return root;
        groups->parent[role] = open_parent(root, key, NULL, err);
        if (groups->parent[role] < 0)
            return -err->code;
    }
    if (unified >= 0) {
        groups->v2[KH_CGROUP_KILL] = true;
        groups->parent[KH_CGROUP_KILL] = open_parent(unified, key, NULL, err);
    }
    *ret_groups = STEAL_PTR(groups);
    return 0;
}

/* On v2 the roles share a directory; work that is done once a directory is done
 * for the last role only. */
static bool
is_own_directory(const struct kh_cgroups *groups, int role)
{
    return groups->parent[role] >= 0 && (role == KH_CGROUP_KILL || !groups->v2[role]);
}

int
kh_cgroup_create(struct kh_cgroups *groups, const char *id,
                 const struct kh_limits *limits, struct kh_error *err)
{
    int role, r = 0;

    for (role = 0; r == 0 && role < KH_CGROUP_ROLES; role++)
        if (is_own_directory(groups, role) &&
            mkdirat(groups->parent[role], id, 0755) < 0)
            r = kh_fail_errno(err, "cannot make cgroup '%s'", id);
    if (r == 0)
        r = kh_cgroup_limit(groups, id, limits, err);
    if (r < 0)
        (void)kh_cgroup_remove(groups, id, NULL);
    return r;
}

int
kh_cgroup_birth(struct kh_cgroups *groups, const char *id)
{
    if (groups->parent[KH_CGROUP_KILL] < 0)
        return -1;
    return openat(groups->parent[KH_CGROUP_KILL], id,
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int
put_into(struct kh_cgroups *groups, const char *id, pid_t pid, bool also_v2,
         struct kh_error *err)
{
    char text[16];
    int role;

    snprintf(text, sizeof(text), "%d", (int)pid);
    for (role = 0; role < KH_CGROUP_ROLES; role++) {
        AUTO_FD int dir = -1;
        int r;

        if (!is_own_directory(groups, role) || (groups->v2[role] && !also_v2))
            continue;
        dir = openat(groups->parent[role], id,
                     O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir < 0)
            return kh_fail_errno(err, "cannot open cgroup '%s'", id);
        r = kh_cgroup_put(dir, "cgroup.procs", text, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int
kh_cgroup_add(struct kh_cgroups *groups, const char *id, pid_t pid,
              struct kh_error *err)
{
    return put_into(groups, id, pid, false, err);
}

int
kh_cgroup_move(struct kh_cgroups *groups, const char *id, pid_t pid,
               struct kh_error *err)
{
    return put_into(groups, id, pid, true, err);
}

void
kh_cgroup_kill(struct kh_cgroups *groups, const char *id)
{
    char path[KH_CGROUP_PATH];

    if (groups->parent[KH_CGROUP_KILL] >= 0)
        (void)kh_cgroup_put(groups->parent[KH_CGROUP_KILL],
                            kh_cgroup_file(path, sizeof(path), id, "cgroup.kill"), "1",
                            NULL);
}

/* Without cgroup.kill: signal what is listed, again and again until nothing is. */
static void
kill_listed(struct kh_cgroups *groups, int role, const char *id)
{
    static const struct timespec pause = {0, 5 * 1000 * 1000};
    int round;

    for (round = 0; round < 200; round++) {
        AUTO_FREE pid_t *pids = NULL;
        size_t count = 0, i;

        if (kh_cgroup_list_in(groups, role, id, &pids, &count, NULL) < 0 || !count)
            return;
        for (i = 0; i < count; i++)
            if (pids[i] > 1)
                kill(pids[i], SIGKILL);
        nanosleep(&pause, NULL);
    }
}

/* Processes that a zygote sent may be in it and not in the sandbox. */
static bool
remove_from(struct kh_cgroups *groups, int role, const char *id)
{
    if (unlinkat(groups->parent[role], id, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return true;
    kh_cgroup_kill(groups, id);
    kill_listed(groups, role, id);
    return unlinkat(groups->parent[role], id, AT_REMOVEDIR) == 0;
}

int
kh_cgroup_remove(struct kh_cgroups *groups, const char *id, struct kh_error *err)
{
    int role, r = 0;

    for (role = 0; role < KH_CGROUP_ROLES; role++)
        if (is_own_directory(groups, role) && !remove_from(groups, role, id))
            r = kh_fail_errno(err, "cannot remove cgroup '%s'", id);
    return r;
}

bool
kh_cgroup_holds(struct kh_cgroups *groups, const char *id, pid_t pid)
{
    AUTO_FREE char *tail = kh_xasprintf("/kernelhost/%s/%s", groups->key, id);
    AUTO_FREE char *text = NULL;
    char path[KH_CGROUP_PATH], *line, *save = NULL;
    int role, want = 0, found = 0;

    for (role = 0; role < KH_CGROUP_ROLES; role++)
        want += is_own_directory(groups, role);
    snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    if (kh_fd_read_file(AT_FDCWD, path, KH_CGROUP_FILE_MAX, &text, NULL, NULL) < 0)
        return false;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        found += strlen(line) >= strlen(tail) &&
                 !strcmp(line + strlen(line) - strlen(tail), tail);
    return found >= want;
}

void
kh_cgroups_sweep(struct kh_cgroups *groups, bool (*keep)(void *arg, const char *id),
                 void *arg)
{
    int role;

    for (role = KH_CGROUP_ROLES - 1; role >= 0; role--) {
        DIR *dir;
        struct dirent *entry;
        int fd;

        if (!is_own_directory(groups, role))
            continue;
        fd = openat(groups->parent[role], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        while (dir && (entry = readdir(dir))) {
            if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
                strcmp(entry->d_name, KH_CGROUP_HELPERS) && !keep(arg, entry->d_name))
                (void)kh_cgroup_remove(groups, entry->d_name, NULL);
        }
        if (dir)
            closedir(dir);
    }
}

void
kh_cgroups_remove_parents(struct kh_cgroups *groups)
{
    int role;

    for (role = 0; role < KH_CGROUP_ROLES; role++) {
        AUTO_FD int top = -1;

        if (!is_own_directory(groups, role))
            continue;
        top = openat(groups->parent[role], "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (top >= 0)
            (void)unlinkat(top, groups->key, AT_REMOVEDIR);
    }
}
