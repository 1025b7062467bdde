#include "sandbox/init/session.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"

#define KILL_PASSES 32
#define STAT_SIZE   512

#define EXITING 0x4u /* PF_EXITING of the kernel's flags: it runs no code any more */

/* The fields are counted from the last ')': the name may have one, they have none. */
bool
kh_session_parse(const char *stat, struct kh_session_member *ret)
{
    const char *at = strrchr(stat, ')');

    return at && sscanf(at + 1,
                        " %c %*d %d %d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
                        "%*d %*d %*d %" SCNu64,
                        &ret->state, &ret->group, &ret->session, &ret->flags,
                        &ret->start) == 5;
}

static bool
read_member(int proc, const char *pid, struct kh_session_member *ret)
{
    char path[64], line[STAT_SIZE];
    AUTO_FD int fd = -1;
    ssize_t n;

    snprintf(path, sizeof(path), "%s/stat", pid);
    fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, line, sizeof(line) - 1);
    if (n <= 0)
        return false;
    line[n] = '\0';
    return kh_session_parse(line, ret);
}

static bool
is_gone(const struct kh_session_member *m)
{
    return m->state == 'Z' || m->state == 'X' || (m->flags & EXITING);
}

static bool
is_pid(const char *name)
{
    return isdigit((unsigned char)*name) && strlen(name) < 12;
}

/* The clock of births is coarse: within one tick the numbers tell, which rise. */
static bool
is_since(const struct kh_session_member *m, pid_t pid,
         const struct kh_session_birth *since)
{
    return !since || m->start > since->start ||
           (m->start == since->start && pid > since->pid);
}

static int
signal_all(pid_t session, int signal, pid_t except,
           const struct kh_session_birth *since)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    struct kh_session_member m;
    int found = 0;

    if (!dir)
        return 0;
    while ((entry = readdir(dir))) {
        pid_t pid = is_pid(entry->d_name) ? (pid_t)atoi(entry->d_name) : 0;

        if (!pid || !read_member(dirfd(dir), entry->d_name, &m) ||
            m.session != session || is_gone(&m) || (except && m.group == except) ||
            !is_since(&m, pid, since))
            continue;
        found++;
        kill(pid, signal);
    }
    closedir(dir);
    return found;
}

int
kh_session_signal(pid_t session, int signal, pid_t except)
{
    return signal_all(session, signal, except, NULL);
}

/* A process that has that number now, and is not the leader on its last way. */
static bool
is_stranger(pid_t session)
{
    struct kh_session_member m;
    char path[32];

    if (kill(session, 0) != 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%d", session);
    return read_member(AT_FDCWD, path, &m) && !is_gone(&m);
}

void
kh_session_kill_since(pid_t session, bool leader_ended,
                      const struct kh_session_birth *since)
{
    int pass;

    if (session <= 1 || (leader_ended && is_stranger(session)))
        return;
    if (!leader_ended)
        kill(session, SIGKILL); /* it may not have come as far as setsid */
    for (pass = 0; pass < KILL_PASSES; pass++)
        if (!signal_all(session, SIGKILL, 0, since))
            return;
}

void
kh_session_kill(pid_t session, bool leader_ended)
{
    kh_session_kill_since(session, leader_ended, NULL);
}

bool
kh_session_birth(pid_t pid, struct kh_session_birth *ret)
{
    struct kh_session_member m;
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d", pid);
    if (!read_member(AT_FDCWD, path, &m))
        return false;
    *ret = (struct kh_session_birth){.start = m.start, .pid = pid};
    return true;
}

bool
kh_session_runs_no_code(pid_t pid)
{
    struct kh_session_member m;
    struct dirent *entry;
    char path[64];
    bool none = true;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    dir = opendir(path);
    if (!dir)
        return true;
    while (none && (entry = readdir(dir)))
        none = !is_pid(entry->d_name) || !read_member(dirfd(dir), entry->d_name, &m) ||
               is_gone(&m);
    closedir(dir);
    return none;
}
