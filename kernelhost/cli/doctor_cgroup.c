/* Facts of doctor about control groups: where limits can be set. */
#include "kernelhost/cli/doctor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"

#define PROC_FILE_MAX (1024u * 1024)

static const char *const controllers[] = {"memory", "cpu", "pids"};

static bool
has_word(const char *text, const char *separators, const char *word)
{
    size_t length = strlen(word);

    while (*text) {
        size_t n = strcspn(text, separators);

        if (n == length && !strncmp(text, word, n))
            return true;
        text += n;
        text += strspn(text, separators);
    }
    return false;
}

/* The mount point of a cgroup filesystem of TYPE whose options name CONTROLLER
 * (NULL: any), or NULL. The caller frees it. */
static char *
mount_point(const char *type, const char *controller)
{
    AUTO_FREE char *text = NULL;
    char *line, *save = NULL;

    if (kh_fd_read_file(AT_FDCWD, "/proc/self/mountinfo", PROC_FILE_MAX, &text, NULL,
                        NULL) < 0)
        return NULL;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char point[2048], fs[32], super[512];
        char *tail = strstr(line, " - ");

        if (tail && sscanf(tail, " - %31s %*s %511s", fs, super) == 2 &&
            !strcmp(fs, type) && (!controller || has_word(super, ",", controller)) &&
            sscanf(line, "%*s %*s %*s %*s %2047s", point) == 1)
            return kh_xstrdup(point);
    }
    return NULL;
}

static bool
is_unified(const char *root, const char *controller)
{
    AUTO_FREE char *path = kh_xasprintf("%s/cgroup.controllers", root);
    AUTO_FREE char *text = NULL;

    return kh_fd_read_file(AT_FDCWD, path, PROC_FILE_MAX, &text, NULL, NULL) == 0 &&
           has_word(text, " \n", controller);
}

/* Where CONTROLLER is: 2, 1, or 0 for nowhere. */
static int
version_of(const char *controller)
{
    AUTO_FREE char *unified = mount_point("cgroup2", NULL);
    AUTO_FREE char *v1 = mount_point("cgroup", controller);

    if (unified && is_unified(unified, controller))
        return 2;
    return v1 ? 1 : 0;
}

void
kh_fact_cgroups(const struct kh_cli *cli, struct kh_finding *finding)
{
    char list[128] = "";
    bool missing = false;
    size_t i;

    (void)cli;
    for (i = 0; i < KH_COUNT(controllers); i++) {
        int version = version_of(controllers[i]);

        missing = missing || !version;
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s %s",
                 i ? ", " : "", controllers[i],
                 version == 2 ? "v2"
                 : version    ? "v1"
                              : "nowhere");
    }
    if (missing)
        kh_finding_bad(
            finding, KH_FINDING_FAIL,
            "boot with systemd.unified_cgroup_hierarchy=1 cgroup_enable=memory", "%s",
            list);
    else
        kh_finding_ok(finding, "%s", list);
}

void
kh_fact_cgroup_kill(const struct kh_cli *cli, struct kh_finding *finding)
{
    AUTO_FREE char *unified = mount_point("cgroup2", NULL);

    (void)cli;
    if (unified)
        kh_finding_ok(finding, "v2 tree at %s", unified);
    else
        kh_finding_bad(finding, KH_FINDING_WARN,
                       "mount -t cgroup2 none /sys/fs/cgroup/unified",
                       "no cgroup v2 tree: processes are killed one by one");
}
