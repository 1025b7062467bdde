/* Facts of doctor about the state directory and what is installed. */
#include "kernelhost/cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"
#include "kernelhost/cli/size.h"
#include "protocol/jupyter/jsontree.h"

#define GATEWAY_USER "kernelhost-gateway"
#define CONFIG_MAX   (1024u * 1024)

/* The state directory, or the nearest directory above it that is there. */
static char *
existing(const char *path)
{
    char *copy = kh_xstrdup(path);

    while (access(copy, F_OK) < 0) {
        char *slash = strrchr(copy, '/');

        if (!slash || slash == copy) {
            free(copy);
            return kh_xstrdup(slash ? "/" : ".");
        }
        *slash = '\0';
    }
    return copy;
}

static const char *
filesystem(const char *path, struct statfs *fs)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } names[] = {
        {0xef53, "ext4"},      {0x58465342, "xfs"},       {0x9123683e, "btrfs"},
        {0x01021994, "tmpfs"}, {0x794c7630, "overlayfs"}, {0x2fc12fc1, "zfs"},
        {0x6969, "nfs"},       {0xf2f52010, "f2fs"},      {0x65735546, "fuse"}};
    size_t i;

    if (statfs(path, fs) < 0)
        return "unknown";
    for (i = 0; i < KH_COUNT(names); i++)
        if ((unsigned long)fs->f_type == names[i].magic)
            return names[i].name;
    return "another filesystem";
}

void
kh_fact_state(const struct kh_cli *cli, struct kh_finding *finding)
{
    AUTO_FREE char *at = existing(cli->state);
    struct statfs fs = {0};
    const char *type = filesystem(at, &fs);
    bool there = !strcmp(at, cli->state);
    char space[KH_SIZE_TEXT];
    struct stat st;

    kh_size_text((uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize, space);
    if (there && stat(at, &st) == 0 && !S_ISDIR(st.st_mode))
        kh_finding_bad(finding, KH_FINDING_FAIL, "--state DIR", "%s is no directory",
                       at);
    else if (there && (st.st_uid != 0 || st.st_mode & 022))
        kh_finding_bad(finding, KH_FINDING_FAIL, "chown root, chmod go-w",
                       "%s can be written by others than root", at);
    else if (!strcmp(type, "overlayfs") || !strcmp(type, "nfs") ||
             !strcmp(type, "fuse"))
        kh_finding_bad(finding, KH_FINDING_FAIL, "--state on ext4, xfs, btrfs or tmpfs",
                       "%s is on %s, which cannot carry layers", cli->state, type);
    else
        kh_finding_ok(finding, "%s%s (%s, %s free)", cli->state,
                      there ? "" : ", not made yet", type, space);
}

void
kh_fact_overlay(const struct kh_cli *cli, struct kh_finding *finding)
{
    AUTO_FREE char *at = existing(cli->state);
    int failed;

    if (geteuid() != 0) {
        kh_finding_bad(finding, KH_FINDING_WARN, NULL, "not tried without root");
        return;
    }
    failed = kh_probe_overlay(at);
    if (failed)
        kh_finding_bad(finding, KH_FINDING_FAIL,
                       failed == ENODEV ? "modprobe overlay"
                                        : "--state on ext4, xfs, btrfs or tmpfs",
                       "cannot mount it in %s: %s", at, strerror(failed));
    else
        kh_finding_ok(finding, "works in %s", at);
}

void
kh_fact_idmap(const struct kh_cli *cli, struct kh_finding *finding)
{
    AUTO_FREE char *at = existing(cli->state);
    int failed;

    if (geteuid() != 0) {
        kh_finding_bad(finding, KH_FINDING_WARN, NULL, "not tried without root");
        return;
    }
    failed = kh_probe_idmap(at);
    if (failed)
        kh_finding_bad(finding, KH_FINDING_FAIL,
                       "--state on ext4, xfs, btrfs or tmpfs; Linux 6.1 or newer",
                       "no overlayfs over an idmapped mount of %s: %s", at,
                       strerror(failed));
    else
        kh_finding_ok(finding, "work in %s, overlayfs above them too", at);
}

static bool
knows_filesystem(const char *name)
{
    FILE *file = fopen("/proc/filesystems", "re");
    char line[128];
    bool known = false;

    while (file && !known && fgets(line, sizeof(line), file)) {
        const char *tab = strchr(line, '\t');

        line[strcspn(line, "\n")] = '\0';
        known = tab && !strcmp(tab + 1, name);
    }
    if (file)
        fclose(file);
    return known;
}

/* What kernelhostd's own attempt needs (sandbox/host/disk.h). */
void
kh_fact_disk(const struct kh_cli *cli, struct kh_finding *finding)
{
    AUTO_FREE char *image = kh_xasprintf("%s/disk.img", cli->state);
    bool made = access(image, F_OK) == 0;

    if (!knows_filesystem("btrfs"))
        kh_finding_bad(finding, KH_FINDING_WARN, "modprobe btrfs",
                       "the kernel has no btrfs: sandboxes can fill the disk");
    else if (access("/dev/loop-control", F_OK) < 0)
        kh_finding_bad(finding, KH_FINDING_WARN, "modprobe loop",
                       "there are no loop devices: sandboxes can fill the disk");
    else if (!made && access("/usr/sbin/mkfs.btrfs", X_OK) < 0 &&
             access("/sbin/mkfs.btrfs", X_OK) < 0)
        kh_finding_bad(finding, KH_FINDING_WARN, "apt-get install btrfs-progs",
                       "there is no mkfs.btrfs: sandboxes can fill the disk");
    else
        kh_finding_ok(finding, "btrfs in %s%s", image, made ? "" : ", not made yet");
}

void
kh_fact_user(const struct kh_cli *cli, struct kh_finding *finding)
{
    const struct passwd *user = getpwnam(GATEWAY_USER);

    (void)cli;
    if (!user)
        kh_finding_bad(finding, KH_FINDING_FAIL, "useradd --system " GATEWAY_USER,
                       "there is no %s", GATEWAY_USER);
    else if (user->pw_uid == 0)
        kh_finding_bad(finding, KH_FINDING_FAIL, "give it an id of its own",
                       "%s is root", GATEWAY_USER);
    else
        kh_finding_ok(finding, "%s (uid %d)", GATEWAY_USER, (int)user->pw_uid);
}

void
kh_fact_programs(const struct kh_cli *cli, struct kh_finding *finding)
{
    static const char *const files[] = {KH_LIBEXECDIR "/kernelhostd",
                                        KH_LIBEXECDIR "/kernelhost-gateway", KH_KITDIR};
    size_t i;

    (void)cli;
    for (i = 0; i < KH_COUNT(files); i++) {
        if (access(files[i], F_OK) == 0)
            continue;
        kh_finding_bad(finding, KH_FINDING_FAIL, "make install", "%s is not there",
                       files[i]);
        return;
    }
    kh_finding_ok(finding, "version %s in %s", PACKAGE_VERSION, KH_LIBEXECDIR);
}

void
kh_fact_image(const struct kh_cli *cli, struct kh_finding *finding)
{
    AUTO_FREE char *path = kh_xasprintf("%s/images/names/default", cli->state);

    if (access(path, F_OK) == 0)
        kh_finding_ok(finding, "present");
    else if (errno == EACCES)
        kh_finding_bad(finding, KH_FINDING_WARN, NULL, "not visible without root");
    else
        kh_finding_bad(finding, KH_FINDING_FAIL, "./dev image",
                       "there is no image 'default' in %s", cli->state);
}

void
kh_fact_host(const struct kh_cli *cli, struct kh_finding *finding)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *health = NULL;
    struct kh_error err = {0};

    kh_http_set_timeout(http, 5000);
    if (kh_http_call(http, "GET", "/v1/health", NULL, &health, &err) >= 0)
        kh_finding_ok(
            finding, "runs (version %s, process %lld, %lld sandboxes)",
            kh_http_text(health, "version"),
            (long long)json_integer_value(json_object_get(health, "pid")),
            (long long)json_integer_value(json_object_get(health, "sandboxes")));
    else if (err.code == EHOSTDOWN)
        kh_finding_bad(finding, KH_FINDING_WARN, "kernelhost serve", "does not run");
    else
        kh_finding_bad(finding, KH_FINDING_WARN, NULL, "%s", err.text);
}

/* What is in it is the gateway's to judge, which tells how it found it. */
void
kh_fact_config(const struct kh_cli *cli, struct kh_finding *finding)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_FREE char *path = kh_xasprintf("%s/config.json", cli->state), *text = NULL;
    AUTO_JSON json_t *health = NULL, *tree = NULL;
    struct kh_error err = {0};
    const char *problem = "";
    size_t size = 0;
    int r = kh_fd_read_file(AT_FDCWD, path, CONFIG_MAX, &text, &size, &err);

    if (r == 0)
        r = kh_jsontree_parse((struct kh_slice){text, size}, CONFIG_MAX, &tree, &err);
    kh_http_set_timeout(http, 5000);
    if (kh_http_call(http, "GET", "/v1/health", NULL, &health, NULL) >= 0)
        problem = kh_http_text(health, "problem");
    if (*problem)
        kh_finding_bad(finding, KH_FINDING_FAIL, NULL, "%s", problem);
    else if (r == -EACCES)
        kh_finding_bad(finding, KH_FINDING_WARN, NULL, "not visible without root");
    else if (r < 0 && r != -ENOENT)
        kh_finding_bad(finding, KH_FINDING_FAIL, "correct it", "%s: %s", path,
                       err.text);
    else if (r == -ENOENT)
        kh_finding_ok(finding, "there is no %s: no quotas", path);
    else
        kh_finding_ok(finding, "%s%s", path, health ? "" : ", not judged without host");
}
