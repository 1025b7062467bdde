/* The parts of kernelhostd that need no privileges: records, limits, images,
 * trees, id slots, and cgroups on a made-up v2 tree. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/host/cgroup.h"
#include "sandbox/host/host.h"
#include "sandbox/host/image.h"
#include "sandbox/host/plan.h"
#include "sandbox/host/store.h"
#include "sandbox/host/tree.h"
#include "tests/tap.h"

static char top[] = "/tmp/kh-host-XXXXXX";
static int top_fd;

static void
put(const char *path, const char *text)
{
    int fd = openat(top_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    ok(fd >= 0 && kh_fd_write_full(fd, text, strlen(text)) == 0, "made '%s'", path);
    close(fd);
}

static int
dir(const char *path)
{
    mkdirat(top_fd, path, 0700);
    return openat(top_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool
holds(const char *path, const char *text)
{
    char *data = NULL;
    bool same = kh_fd_read_file(top_fd, path, 4096, &data, NULL, NULL) == 0 &&
                !strcmp(data, text);

    if (!same)
        printf("# '%s' holds '%s'\n", path, data ? data : "(nothing)");
    free(data);
    return same;
}

static void
records(void)
{
    struct kh_record in = {.name = "mybox",
                           .image = "default",
                           .image_id = "0123456789abcdef0123456789abcdef",
                           .limits = {.memory = 1 << 30,
                                      .cpu_milli = 1500,
                                      .pids = 77,
                                      .disk = 5ull << 32},
                           .created = 1700000000,
                           .state = KH_SANDBOX_STOPPED};
    struct kh_record out;
    struct kh_error err;
    unsigned char data[KH_RECORD_SIZE];
    char place[KH_ID_TEXT];
    int i, accepted = 0;

    memset(in.id, 0xab, sizeof(in.id));
    is_int(kh_record_encode(&in, data, sizeof(data)), KH_RECORD_SIZE,
           "a record is encoded");
    is_int(kh_record_encode(&in, data, 10), 0, "not into less than its size");
    is_int(kh_record_decode(data, sizeof(data), &out, &err), 0, "and decoded");
    ok(!strcmp(out.name, "mybox") && !strcmp(out.image, "default") &&
           !strcmp(out.image_id, in.image_id) && out.limits.memory == 1 << 30 &&
           out.limits.cpu_milli == 1500 && out.limits.pids == 77 &&
           out.limits.disk == 5ull << 32 && out.created == 1700000000 &&
           !memcmp(out.id, in.id, sizeof(in.id)),
       "every field is the same");
    kh_record_place(&out, place);
    is_str(place, "abababababababababababababababab", "its disk is called as itself");
    memset(in.place, 0x0f, sizeof(in.place));
    kh_record_encode(&in, data, sizeof(data));
    is_int(kh_record_decode(data, sizeof(data), &out, &err), 0, "once rolled back,");
    kh_record_place(&out, place);
    is_str(place, "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "it is called otherwise");
    is_int(kh_record_decode(data, KH_RECORD_SIZE - 1, &out, &err), -EBADMSG,
           "a truncated record is refused");
    for (i = 0; i < KH_RECORD_SIZE; i++) {
        data[i] ^= 0x10;
        accepted += kh_record_decode(data, sizeof(data), &out, &err) == 0;
        data[i] ^= 0x10;
    }
    is_int(accepted, 0, "no flipped bit is accepted, in any of its bytes");
    in.name[0] = '/';
    kh_record_encode(&in, data, sizeof(data));
    is_int(kh_record_decode(data, sizeof(data), &out, &err), -EBADMSG,
           "a well-summed record with an impossible name is refused");
}

static void
births(void)
{
    struct kh_birth in = {.kit = "0123456789abcdef",
                          .pid = 4711,
                          .start_time = 1ull << 40,
                          .slot = 8191,
                          .id_first = 0x40000000,
                          .started = 1700000000};
    const struct kh_birth wrong[] = {
        {.pid = 1, .id_first = 65536},
        {.pid = 0, .id_first = 65536},
        {.pid = 0x80000000, .id_first = 65536},
        {.pid = 4711, .id_first = 0},
    };
    struct kh_birth out;
    struct kh_error err;
    unsigned char data[KH_BIRTH_SIZE];
    int i, accepted = 0;
    size_t n;

    is_int(kh_birth_note(&in, getpid(), &err), 0, "a birth is noted");
    is_int(strlen(in.boot_id), 36, "with the host's boot id");
    ok(in.start_time && in.start_time != 1ull << 40, "and a start time");
    is_int(kh_birth_encode(&in, data, KH_BIRTH_SIZE - 1), 0, "not into less");
    is_int(kh_birth_encode(&in, data, sizeof(data)), KH_BIRTH_SIZE, "it is encoded");
    is_int(kh_birth_decode(data, sizeof(data), &out, &err), 0, "and decoded");
    ok(!strcmp(out.boot_id, in.boot_id) && !strcmp(out.kit, in.kit) &&
           out.pid == (uint32_t)getpid() && out.start_time == in.start_time &&
           out.slot == 8191 && out.id_first == 0x40000000 && out.started == 1700000000,
       "every field is the same");
    is_int(kh_birth_decode(data, 0, &out, &err), -EBADMSG, "an empty one is refused");
    for (i = 0; i < KH_BIRTH_SIZE; i++) {
        data[i] ^= 0x10;
        accepted += kh_birth_decode(data, sizeof(data), &out, &err) == 0;
        data[i] ^= 0x10;
    }
    is_int(accepted, 0, "no flipped bit is accepted");
    for (n = 0; n < KH_COUNT(wrong); n++) {
        kh_birth_encode(&wrong[n], data, sizeof(data));
        is_int(kh_birth_decode(data, sizeof(data), &out, &err), -EBADMSG,
               "process %u with ids from %u is refused", wrong[n].pid,
               wrong[n].id_first);
    }
    memset(in.kit, 'a', sizeof(in.kit));
    kh_birth_encode(&in, data, sizeof(data));
    is_int(kh_birth_decode(data, sizeof(data), &out, &err), -EBADMSG,
           "an endless text is refused");
    is_int(kh_birth_note(&in, INT32_MAX, &err), -ENOENT, "no process has no birth");
}

static void
limits(void)
{
    struct kh_limits l = {0};
    struct kh_error err;

    is_int(kh_limits_check(&l, &err), 0, "no limits become the defaults");
    ok(l.memory && l.cpu_milli && l.pids, "none of which is zero");
    l.memory = 1 << 20;
    is_int(kh_limits_check(&l, &err), -EINVAL, "1 MiB of memory is refused");
    ok(strstr(err.text, "64M to "), "with the range: %s", err.text);
    l = (struct kh_limits){.cpu_milli = 4000000000u};
    is_int(kh_limits_check(&l, &err), -EINVAL, "4 million processors are refused");
    l = (struct kh_limits){.pids = 15};
    is_int(kh_limits_check(&l, &err), -EINVAL, "15 tasks are refused");
    l = (struct kh_limits){.pids = 32769};
    is_int(kh_limits_check(&l, &err), -EINVAL, "32,769 tasks are refused");
}

static void
facts(void)
{
    struct kh_limits l = {.memory = 512 << 20, .cpu_milli = 1000, .pids = 64};
    struct kh_plan *plan = kh_plan_new("x", &l);
    struct kh_error err;
    const char *at;
    int processors = 0;

    is_int(kh_plan_facts(plan, &err), 0, "facts are made");
    ok(strstr(plan->meminfo, "MemTotal:         524288 kB\n"),
       "meminfo shows the limit");
    for (at = plan->cpuinfo; (at = strstr(at, "processor\t")); at++)
        processors++;
    is_int(processors, 1, "cpuinfo shows one processor for a limit of one");
    ok(strstr(plan->stat, "cpu0 ") && !strstr(plan->stat, "cpu1 "), "and so does stat");
    is_int(strlen(plan->boot_id), 37, "the boot id is a UUID and a newline");
    kh_plan_free(plan);
    kh_plan_free(NULL);
}

static void
images(void)
{
    struct kh_store store = {.images = dir("images"), .layers = dir("layers")};
    struct kh_limits l = {0};
    struct kh_plan *plan = kh_plan_new("x", &l);
    struct kh_error err;
    char id[KH_ID_TEXT], name[KH_IMAGE_NAME_SIZE];

    close(dir("images/names"));
    close(dir("images/id"));
    close(dir("layers/000000000000000000000000000000aa"));
    is_int(kh_image_find(&store, "default", id, &err), -ENOENT, "no image yet");
    put("images/names/default", "000000000000000000000000000000ff\n");
    put("images/names/evil", "../../../../etc/passwd\n");
    put("images/id/000000000000000000000000000000ff",
        "kernelhost-image 1\nlayer 000000000000000000000000000000aa\n");
    is_int(kh_image_find(&store, "default", id, &err), 0, "an image is found");
    is_str(id, "000000000000000000000000000000ff", "by its id");
    is_int(kh_image_find(&store, "evil", id, &err), -EBADMSG, "a path is no id");
    is_int(kh_image_open(&store, id, plan, &err), 0, "its layers are opened");
    is_int(plan->layers, 1, "one of them");
    put("images/id/000000000000000000000000000000ff",
        "kernelhost-image 1\nlayer 000000000000000000000000000000bb\n");
    is_int(kh_image_open(&store, id, plan, &err), -EIO, "a missing layer is an error");
    put("images/id/000000000000000000000000000000ff", "kernelhost-image 2\n");
    is_int(kh_image_open(&store, id, plan, &err), -EBADMSG, "so is another version");
    is_int(kh_image_at(&store, 0, name, &err), 0, "images are listed");
    is_str(name, "default", "in the order of names");
    is_int(kh_image_at(&store, 2, name, &err), -ENOENT, "to their end");
    kh_plan_free(plan);
    close(store.images);
    close(store.layers);
}

static void
trees(void)
{
    int deep = dir("deep"), at = dir("deep/d"), i, from, to;
    struct kh_error err;
    uint64_t one = 0, two = 0;
    struct stat st;

    for (i = 0; i < 3000; i++) {
        int next;

        mkdirat(at, "d", 0700);
        next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(openat(next, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0));
        close(at);
        at = next;
    }
    close(at);
    ok(symlinkat("/etc", deep, "link") == 0, "made a link to /etc");
    is_int(kh_tree_empty(deep, &err), 0, "a tree 3,000 levels deep is removed");
    ok(access("/etc", F_OK) == 0, "a link in it was not followed");
    close(deep);
    is_int(unlinkat(top_fd, "deep", AT_REMOVEDIR), 0, "nothing is left in it");

    from = dir("from");
    to = dir("to");
    close(dir("from/sub"));
    put("from/sub/a", "text");
    is_int(kh_tree_copy(from, to, &err), 0, "a tree is copied");
    ok(holds("to/sub/a", "text"), "with its files");
    is_int(fstatat(top_fd, "to/sub/a", &st, 0) || st.st_mode != (S_IFREG | 0644), 0,
           "whose mode is 0644");
    kh_tree_hash(from, &one, &err);
    kh_tree_hash(to, &two, &err);
    ok(one == two, "a copy has the hash of its original");
    put("from/sub/a", "texT");
    kh_tree_hash(from, &two, &err);
    ok(one != two, "another content has another");
    ok(symlinkat("a", from, "link") == 0, "made a link");
    is_int(kh_tree_hash(from, &two, &err), -EINVAL, "a link is refused");
    close(from);
    close(to);
}

static void
slots(void)
{
    static struct kh_host host;
    struct kh_error err;
    uint32_t slot = 0, i, wrong = 0;

    for (i = 0; i < KH_IDMAP_SLOTS; i++)
        wrong += kh_host_take_slot(&host, &slot, &err) != 0 || slot != i;
    is_int(wrong, 0, "every slot is given once");
    is_int(kh_host_take_slot(&host, &slot, &err), -EAGAIN, "then there is none");
    kh_host_give_slot(&host, 1234);
    is_int(kh_host_take_slot(&host, &slot, &err), 0, "a slot that came back");
    is_int(slot, 1234, "is given again");
    host.id_base = KH_IDMAP_BASE;
    kh_host_give_slot(&host, 7);
    is_int(kh_host_retake_slot(&host, 7, kh_idmap_first(KH_IDMAP_BASE, 8), &err),
           -ERANGE, "a slot is not taken again with the ids of another");
    is_int(kh_host_retake_slot(&host, KH_IDMAP_SLOTS, KH_IDMAP_BASE, &err), -ERANGE,
           "nor one that does not exist");
    is_int(kh_host_retake_slot(&host, 7, kh_idmap_first(KH_IDMAP_BASE, 7), &err), 0,
           "but with its own");
    is_int(kh_host_retake_slot(&host, 7, kh_idmap_first(KH_IDMAP_BASE, 7), &err),
           -EADDRINUSE, "and only once");
    is_int(kh_idmap_first(KH_IDMAP_BASE, 1), KH_IDMAP_BASE + 65536,
           "ranges are disjoint");
}

/* A tree of plain files: the kernel would make them itself. */
static void
cgroup_v2(void)
{
    static const char *const files[] = {
        "memory.max",     "memory.swap.max", "cpu.max",  "pids.max",    "cgroup.kill",
        "memory.current", "memory.events",   "cpu.stat", "pids.current"};
    struct kh_limits l = {.memory = 512 << 20, .cpu_milli = 1500, .pids = 64}, less = l;
    struct kh_cgroups *groups = NULL;
    struct kh_usage usage;
    struct kh_error err;
    char path[128];
    int root = dir("cg");
    size_t i;

    close(dir("cg/kernelhost"));
    close(dir("cg/kernelhost/key"));
    is_int(kh_cgroups_open_v2(root, "key", &groups, &err), -ENOENT,
           "a tree without subtree_control is refused");
    put("cg/cgroup.subtree_control", "");
    put("cg/kernelhost/cgroup.subtree_control", "");
    put("cg/kernelhost/key/cgroup.subtree_control", "");
    is_int(kh_cgroups_open_v2(root, "key", &groups, &err), 0, "a v2 tree is opened");
    ok(holds("cg/kernelhost/key/cgroup.subtree_control", "+memory +cpu +pids"),
       "controllers are handed down");
    is_int(kh_cgroup_create(groups, "box", &l, &err), -ENOENT,
           "a directory without its files is an error");
    ok(faccessat(top_fd, "cg/kernelhost/key/box", F_OK, 0) < 0, "and is undone");
    /* mkdir cannot make the kernel's files here, so they are put in a directory
     * that is then moved to the name that create makes. */
    close(dir("cg/kernelhost/key/box"));
    for (i = 0; i < KH_COUNT(files); i++) {
        snprintf(path, sizeof(path), "cg/kernelhost/key/box/%s", files[i]);
        put(path, "");
    }
    is_int(kh_cgroup_create(groups, "box", &l, &err), -EEXIST,
           "a taken name is refused");
    is_int(kh_cgroup_limit(groups, "box", &l, &err), 0, "limits are written");
    ok(holds("cg/kernelhost/key/box/memory.max", "536870912") &&
           holds("cg/kernelhost/key/box/memory.swap.max", "0") &&
           holds("cg/kernelhost/key/box/cpu.max", "150000 100000") &&
           holds("cg/kernelhost/key/box/pids.max", "64"),
       "as cgroup v2 wants them");
    put("cg/kernelhost/key/box/memory.events", "low 0\noom 5\noom_kill 3\n");
    put("cg/kernelhost/key/box/memory.current", "4096\n");
    put("cg/kernelhost/key/box/cpu.stat", "usage_usec 77\nuser_usec 1\n");
    put("cg/kernelhost/key/box/pids.current", "9\n");
    kh_cgroup_usage(groups, "box", &usage);
    ok(usage.oom_kills == 3 && usage.memory == 4096 && usage.cpu_usec == 77 &&
           usage.pids == 9,
       "the accounts are read");
    put("cg/kernelhost/key/box/memory.high", "");
    less.memory = 300 << 20;
    put("cg/kernelhost/key/box/memory.current", "400000000\n");
    is_int(kh_cgroup_change(groups, "box", &l, &less, &err), -EBUSY,
           "less memory than is in use is refused");
    ok(strstr(err.text, "381 MiB") && strstr(err.text, "300 MiB") &&
           holds("cg/kernelhost/key/box/memory.max", "536870912"),
       "with the figures, and the limit is as it was");
    put("cg/kernelhost/key/box/memory.current", "4096\n");
    is_int(kh_cgroup_change(groups, "box", &l, &less, &err), 0, "else it is taken");
    ok(holds("cg/kernelhost/key/box/memory.max", "314572800"), "and in force");
    kh_cgroup_kill(groups, "box");
    ok(holds("cg/kernelhost/key/box/cgroup.kill", "1"), "cgroup.kill is written");
    ok(kh_cgroup_remove(groups, "box", &err) < 0, "a directory in use is not removed");
    kh_cgroups_free(groups);
    kh_cgroups_free(NULL);
    close(root);
}

static void
clean_up(void)
{
    is_int(kh_tree_empty(top_fd, NULL), 0, "the test's directory is emptied");
    close(top_fd);
    is_int(rmdir(top), 0, "and removed");
}

int
main(void)
{
    if (!mkdtemp(top))
        return 99;
    top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    records();
    births();
    limits();
    facts();
    images();
    trees();
    slots();
    cgroup_v2();
    clean_up();
    return done();
}
