/* Facts of doctor about the kernel and this process. */
#include "kernelhost/cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"

#define PROC_FILE_MAX 65536
#define DESCRIPTORS   65536

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* What kernelhostd uses; without CAP_SYS_RESOURCE it goes without raising limits. */
static const struct {
    int bit;
    const char *name;
} needed[] = {
    {CAP_SYS_ADMIN, "SYS_ADMIN"},   {CAP_SETUID, "SETUID"},
    {CAP_SETGID, "SETGID"},         {CAP_CHOWN, "CHOWN"},
    {CAP_NET_ADMIN, "NET_ADMIN"},   {CAP_KILL, "KILL"},
    {CAP_SYS_PTRACE, "SYS_PTRACE"}, {CAP_DAC_OVERRIDE, "DAC_OVERRIDE"},
};

static unsigned long long
effective_capabilities(void)
{
    AUTO_FREE char *text = NULL;
    const char *line;

    if (kh_fd_read_file(AT_FDCWD, "/proc/self/status", PROC_FILE_MAX, &text, NULL,
                        NULL))
        return 0;
    line = strstr(text, "\nCapEff:");
    return line ? strtoull(line + 8, NULL, 16) : 0;
}

void
kh_fact_root(const struct kh_cli *cli, struct kh_finding *finding)
{
    unsigned long long have = effective_capabilities();
    char missing[128] = "";
    size_t i;

    (void)cli;
    if (geteuid() != 0) {
        kh_finding_bad(finding, KH_FINDING_FAIL, "sudo kernelhost doctor",
                       "user id %d; kernelhost needs root for now", (int)geteuid());
        return;
    }
    for (i = 0; i < KH_COUNT(needed); i++)
        if (!(have >> needed[i].bit & 1))
            snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing),
                     " %s", needed[i].name);
    if (missing[0])
        kh_finding_bad(finding, KH_FINDING_FAIL,
                       "in a container: run it with all capabilities",
                       "root, but without the capabilities%s", missing);
    else
        kh_finding_ok(finding, "yes%s",
                      have >> CAP_SYS_RESOURCE & 1 ? "" : ", without CAP_SYS_RESOURCE");
}

void
kh_fact_kernel(const struct kh_cli *cli, struct kh_finding *finding)
{
    unsigned major = 0, minor = 0;
    struct utsname name;

    (void)cli;
    uname(&name);
    if (sscanf(name.release, "%u.%u", &major, &minor) != 2 || major < 5 ||
        (major == 5 && minor < 19))
        kh_finding_bad(finding, KH_FINDING_FAIL, "Linux 6.1 or newer, as in Debian 12",
                       "Linux %s has no overlayfs over idmapped mounts", name.release);
    else
        kh_finding_ok(finding, "Linux %s %s", name.release, name.machine);
}

void
kh_fact_namespaces(const struct kh_cli *cli, struct kh_finding *finding)
{
    int failed;

    (void)cli;
    if (geteuid() != 0) {
        kh_finding_bad(finding, KH_FINDING_WARN, NULL, "not tried without root");
        return;
    }
    failed = kh_probe_namespaces(CLONE_NEWUSER);
    if (failed) {
        kh_finding_bad(finding, KH_FINDING_FAIL,
                       "sysctl user.max_user_namespaces=65536; is this a container?",
                       "cannot make a user namespace: %s", strerror(failed));
        return;
    }
    failed =
        kh_probe_namespaces(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                            CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP);
    if (failed)
        kh_finding_bad(
            finding, KH_FINDING_FAIL, "a kernel with all namespaces",
            "cannot make mount, pid, net, ipc, uts and cgroup namespaces: %s",
            strerror(failed));
    else
        kh_finding_ok(finding, "user, mount, pid, net, ipc, uts, cgroup");
}

void
kh_fact_time_namespace(const struct kh_cli *cli, struct kh_finding *finding)
{
    int failed =
        geteuid() == 0 ? kh_probe_namespaces(CLONE_NEWUSER | CLONE_NEWTIME) : 0;

    (void)cli;
    if (access("/proc/self/ns/time", F_OK) < 0)
        kh_finding_bad(finding, KH_FINDING_FAIL, "a kernel with CONFIG_TIME_NS",
                       "the kernel has none");
    else if (failed)
        kh_finding_bad(finding, KH_FINDING_FAIL, NULL, "cannot make one: %s",
                       strerror(failed));
    else
        kh_finding_ok(finding, "yes");
}

void
kh_fact_seccomp(const struct kh_cli *cli, struct kh_finding *finding)
{
    unsigned action = SECCOMP_RET_ERRNO;

    (void)cli;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
        kh_finding_bad(finding, KH_FINDING_FAIL, "a kernel with CONFIG_SECCOMP_FILTER",
                       "filters are not available: %s", strerror(errno));
    else
        kh_finding_ok(finding, "filters are available");
}

void
kh_fact_landlock(const struct kh_cli *cli, struct kh_finding *finding)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u /* VERSION */);

    (void)cli;
    if (abi < 0)
        kh_finding_bad(finding, KH_FINDING_WARN,
                       "add landlock to the kernel's lsm= list",
                       "not enabled; not needed yet");
    else
        kh_finding_ok(finding, "ABI %ld", abi);
}

void
kh_fact_descriptors(const struct kh_cli *cli, struct kh_finding *finding)
{
    struct rlimit limit = {0};

    (void)cli;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < DESCRIPTORS)
        kh_finding_bad(finding, KH_FINDING_WARN, "ulimit -Hn 1048576, or LimitNOFILE=",
                       "at most %llu; thousands of sandboxes need more",
                       (unsigned long long)limit.rlim_max);
    else
        kh_finding_ok(finding, "at most %llu", (unsigned long long)limit.rlim_max);
}
