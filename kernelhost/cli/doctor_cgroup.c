/* Facts of doctor about control groups: where limits can be set. */
#include "kernelhost/cli/doctor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"

static const char *const controllers[] = {"memory", "cpu", "pids"};

/* The mount point of a cgroup filesystem of TYPE whose options name CONTROLLER
 * (NULL: any). */
static bool
mount_point(const char *type, const char *controller, char point[KH_CGROUP_PATH_SIZE])
{
    AUTO_FREE char *text = NULL;

    return kh_fd_read_file(AT_FDCWD, "/proc/self/mountinfo", KH_CGROUP_TEXT_MAX, &text,
                           NULL, NULL) == 0 &&
           kh_cgroup_mount(text, type, controller, point);
}

static bool
is_unified(const char *root, const char *controller)
{
    AUTO_FREE char *path = kh_xasprintf("%s/cgroup.controllers", root);
    AUTO_FREE char *text = NULL;

    return kh_fd_read_file(AT_FDCWD, path, KH_CGROUP_TEXT_MAX, &text, NULL, NULL) ==
               0 &&
           kh_cgroup_has_all(text, &controller, 1);
}

/* Where CONTROLLER is: 2, 1, or 0 for nowhere. */
static int
version_of(const char *controller)
{
    char point[KH_CGROUP_PATH_SIZE];

    if (mount_point("cgroup2", NULL, point) && is_unified(point, controller))
        return 2;
    return mount_point("cgroup", controller, point) ? 1 : 0;
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
    char point[KH_CGROUP_PATH_SIZE];

    (void)cli;
    if (mount_point("cgroup2", NULL, point))
        kh_finding_ok(finding, "v2 tree at %s", point);
    else
        kh_finding_bad(finding, KH_FINDING_WARN,
                       "mount -t cgroup2 none /sys/fs/cgroup/unified",
                       "no cgroup v2 tree: processes are killed one by one");
}
