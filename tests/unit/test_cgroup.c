/* Where control groups are, from texts as kernels write them. */
#include <string.h>

#include "base/cgroup.h"
#include "tests/tap.h"

static const char hybrid[] =
    "21 27 0:20 / /sys rw,nosuid shared:2 - sysfs sysfs rw\n"
    "29 28 0:26 / /sys/fs/cgroup/unified rw shared:8 - cgroup2 cgroup2 rw\n"
    "33 28 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 28 0:31 / /sys/fs/cgroup/mem rw - cgroup cgroup rw,memory\n"
    "35 28 0:32 / /again rw - cgroup cgroup rw,memory\n";

static void
words(void)
{
    static const char *const wanted[] = {"memory", "pids"};

    ok(kh_cgroup_has_word("a,b,c", ",", "a"), "the first word is found");
    ok(kh_cgroup_has_word("a,b,c", ",", "c"), "and the last");
    ok(kh_cgroup_has_word(" a  b", " ", "b"), "many separators part as one does");
    ok(!kh_cgroup_has_word("cpuacct", ",", "cpu"), "the start of a word is none");
    ok(!kh_cgroup_has_word("cpu", ",", "cpuacct"), "nor is a longer one");
    ok(!kh_cgroup_has_word("", ",", "cpu"), "nothing is in nothing");
    ok(kh_cgroup_has_all("cpuset memory pids\n", wanted, 2), "all are listed");
    ok(!kh_cgroup_has_all("cpuset memory\n", wanted, 2), "one is missing");
}

static void
mounts(void)
{
    char point[KH_CGROUP_PATH_SIZE], line[1200];

    ok(kh_cgroup_mount(hybrid, "cgroup2", NULL, point), "the v2 tree is found");
    is_str(point, "/sys/fs/cgroup/unified", "where it is mounted");
    ok(kh_cgroup_mount(hybrid, "cgroup", "cpu", point), "a v1 controller is");
    is_str(point, "/sys/fs/cgroup/cpu,cpuacct", "beside another");
    ok(kh_cgroup_mount(hybrid, "cgroup", "memory", point), "the first of two mounts");
    is_str(point, "/sys/fs/cgroup/mem", "counts");
    ok(!kh_cgroup_mount(hybrid, "cgroup", "pids", point), "one that is not there");
    ok(!kh_cgroup_mount("no mountinfo\n - \n", "cgroup2", NULL, point),
       "lines of another form are passed over");
    snprintf(line, sizeof(line), "1 2 0:1 / /p rw - cgroup none %0*d,memory\n", 600, 0);
    ok(!kh_cgroup_mount(line, "cgroup", "memory", point),
       "options without an end are cut");
}

static void
paths(void)
{
    static const char text[] =
        "12:cpu,cpuacct:/a:b\n3:memory:/\n1:name=systemd:/x\n0::/y";
    char path[KH_CGROUP_PATH_SIZE], line[KH_CGROUP_PATH_SIZE + 16];

    ok(kh_cgroup_path(text, "cpuacct", path), "the path of a controller is found");
    is_str(path, "/a:b", "with what it has of colons");
    ok(kh_cgroup_path(text, "memory", path), "also of one in the root");
    is_str(path, "/", "which is '/'");
    ok(!kh_cgroup_path(text, "pids", path), "one that is not there");
    ok(!kh_cgroup_path("memory\n7:memory\n", "memory", path), "lines without colons");
    snprintf(line, sizeof(line), "3:memory:/%0*d\n", KH_CGROUP_PATH_SIZE - 1, 0);
    ok(!kh_cgroup_path(line, "memory", path), "a path that is too long is none");
}

int
main(void)
{
    words();
    mounts();
    paths();
    return done();
}
