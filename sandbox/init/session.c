#include "sandbox/init/session.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"

#define KILL_PASSES 32
#define STAT_SIZE   512

struct membership {
    char state;
    pid_t group;
    pid_t session;
};

/* The fields are counted from the last ')': the name may have one, they have none. */
bool
kh_session_parse(const char *stat, char *ret_state, pid_t *ret_group,
                 pid_t *ret_session)
{
    const char *at = strrchr(stat, ')');
    int parent;

    return at && sscanf(at + 1, " %c %d %d %d", ret_state, &parent, ret_group,
                        ret_session) == 4;
}

static bool
read_membership(int proc, const char *pid, struct membership *ret)
{
    char path[32], line[STAT_SIZE];
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
    return kh_session_parse(line, &ret->state, &ret->group, &ret->session);
}

static bool
is_pid(const char *name)
{
    return isdigit((unsigned char)*name) && strlen(name) < 12;
}

int
kh_session_signal(pid_t session, int signal, pid_t except)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    struct membership m;
    int found = 0;

    if (!dir)
        return 0;
    while ((entry = readdir(dir))) {
        if (!is_pid(entry->d_name) || !read_membership(dirfd(dir), entry->d_name, &m) ||
            m.session != session || m.state == 'Z' || m.state == 'X' ||
            (except && m.group == except))
            continue;
        found++;
        kill((pid_t)atoi(entry->d_name), signal);
    }
    closedir(dir);
    return found;
}

void
kh_session_kill(pid_t session, bool leader_ended)
{
    int pass;

    if (session <= 1 || (leader_ended && kill(session, 0) == 0))
        return;
    if (!leader_ended)
        kill(session, SIGKILL); /* it may not have come as far as setsid */
    for (pass = 0; pass < KILL_PASSES; pass++)
        if (!kh_session_signal(session, SIGKILL, 0))
            return;
}
