/* The operator's configuration, and what quotas of it refuse. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernelhost/gateway/quota.h"
#include "tests/tap.h"

#define GIB (1024ull * 1024 * 1024)

static int
parse(const char *text, struct kh_config *config, struct kh_error *err)
{
    memset(err, 0, sizeof(*err));
    memset(config, 0, sizeof(*config));
    return kh_config_parse((struct kh_slice){text, strlen(text)}, config, err);
}

static void
reads(void)
{
    struct kh_config c;
    struct kh_error err;

    is_int(parse("{}", &c, &err), 0, "an empty one is right");
    ok(c.prices.cpu_second > 0.0000199 && c.prices.cpu_second < 0.0000201 &&
           c.prices.memory_gib_second == 0 && !c.quota.sandboxes,
       "and has the presets");
    is_int(parse("{\"prices\":{\"cpu_second\":1,\"memory_gib_second\":0.5,"
                 "\"disk_gib_second\":0.25},\"quotas\":{\"local\":{\"sandboxes\":3,"
                 "\"running\":2,\"memory\":\"4G\",\"disk\":1073741824,"
                 "\"snapshots\":5,\"forks\":6}}}",
                 &c, &err),
           0, "a whole one");
    ok(c.prices.cpu_second == 1 && c.prices.memory_gib_second == 0.5 &&
           c.prices.disk_gib_second == 0.25,
       "with prices");
    ok(c.quota.sandboxes == 3 && c.quota.running == 2 && c.quota.memory == 4 * GIB &&
           c.quota.disk == GIB && c.quota.snapshots == 5 && c.quota.forks == 6,
       "and quotas");
}

static void
refuses(void)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "a value is expected"},
        {"[]", "object"},
        {"{\"price\":{}}", "no 'price'"},
        {"{\"prices\":[]}", "'prices': must be an object"},
        {"{\"prices\":{\"cpu\":1}}", "no 'cpu'"},
        {"{\"prices\":{\"cpu_second\":-1}}", "'cpu_second': must be dollars"},
        {"{\"prices\":{\"cpu_second\":\"1\"}}", "'cpu_second'"},
        {"{\"quotas\":{\"somebody\":{}}}", "no owner 'somebody'"},
        {"{\"quotas\":{\"local\":{\"sandboxes\":0}}}", "'sandboxes': must be an"},
        {"{\"quotas\":{\"local\":{\"running\":1.5}}}", "'running'"},
        {"{\"quotas\":{\"local\":{\"memory\":\"much\"}}}", "'memory': must be bytes"},
        {"{\"quotas\":{\"local\":{\"memory\":\"\"}}}", "'memory': must be bytes"},
        {"{\"quotas\":{\"local\":{\"memory\":[]}}}", "'memory': must be bytes"},
        {"{\"quotas\":{\"local\":{\"forks\":\"\"}}}", "'forks': must be an"},
        {"{\"quotas\":{\"local\":[]}}", "'local': must be an object"},
        {"{\"quotas\":{\"local\":{\"disks\":\"1G\"}}}", "no 'disks'"},
    };
    struct kh_config c;
    struct kh_error err;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ok(parse(bad[i].text, &c, &err) < 0 && strstr(err.text, bad[i].words),
           "refused: %s (%s)", bad[i].text, err.text);
}

static bool
is_ascii(const char *text)
{
    while (*text > 0)
        text++;
    return !*text;
}

/* A file that is wrong lifts no quota. */
static void
loads(void)
{
    char path[] = "/tmp/kh-config-XXXXXX";
    static const char right[] = "{\"quotas\":{\"local\":{\"forks\":6}}}";
    static const char strange[] =
        "{\"a\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244"
        "\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303"
        "\244"
        "\303\244\303\244\":1}";
    int fd = mkstemp(path);
    struct kh_config c;

    kh_config_load(NULL, &c);
    ok(!c.bad.code && c.prices.cpu_second > 0, "without a file all is preset");
    kh_config_load("/tmp/kh-config-none", &c);
    ok(!c.bad.code && c.prices.cpu_second > 0, "also if there is none at its path");
    ok(write(fd, right, strlen(right)) > 0, "a file");
    kh_config_load(path, &c);
    ok(!c.bad.code && c.quota.forks == 6 && c.prices.cpu_second > 0, "is read");
    ok(write(fd, "}", 1) == 1, "one brace too many");
    kh_config_load(path, &c);
    ok(c.bad.code == EINVAL && strstr(c.bad.text, "correct it") && !c.quota.forks &&
           c.prices.cpu_second > 0,
       "makes it wrong, in words: %s", c.bad.text);
    ok(ftruncate(fd, 0) == 0 && pwrite(fd, strange, strlen(strange), 0) > 0,
       "a name that is cut within a character");
    kh_config_load(path, &c);
    ok(c.bad.code == EINVAL && strstr(c.bad.text, "\\xc3") && is_ascii(c.bad.text),
       "is told in ASCII: %s", c.bad.text);
    ok(ftruncate(fd, KH_CONFIG_MAX + 1) == 0, "a file that is too large");
    kh_config_load(path, &c);
    ok(c.bad.code == EINVAL && strstr(c.bad.text, "larger"), "is wrong, too");
    unlink(path);
    ok(symlink("/dev/zero", path) == 0, "a link");
    kh_config_load(path, &c);
    is_int(c.bad.code, EINVAL, "is not followed");
    unlink(path);
    kh_config_load("/tmp", &c);
    is_int(c.bad.code, EINVAL, "a directory is no file");
    close(fd);
}

static void
judges(void)
{
    const struct kh_quota none = {0}, quota = {.sandboxes = 3,
                                               .running = 2,
                                               .memory = 4 * GIB,
                                               .disk = 20 * GIB};
    const struct kh_holding some = {2, 1, 3 * GIB, 10 * GIB};
    const struct kh_limits limits = {0}, large = {.memory = 2 * GIB};
    struct kh_holding held = some, more = kh_quota_new(&limits);
    struct kh_error err = {0};

    ok(more.sandboxes == 1 && more.running == 1 && more.memory == GIB &&
           more.disk == 10 * GIB,
       "a new one takes the defaults");
    is_int(kh_quota_judge(&none, &held, &more, &err), 0, "without quotas all is well");
    is_int(kh_quota_judge(&quota, &held, &more, &err), 0, "the last of it may be had");
    held.sandboxes = 3;
    is_int(kh_quota_judge(&quota, &held, &more, &err), -EDQUOT, "one too many");
    ok(strstr(err.text, "has 3 of 3 sandboxes") && strstr(err.text, "kernelhost rm") &&
           strstr(err.text, "'sandboxes'"),
       "in words: %s", err.text);
    held = some;
    held.running = 2;
    is_int(kh_quota_judge(&quota, &held, &more, &err), -EDQUOT, "one too many runs");
    held = some;
    more = kh_quota_new(&large);
    is_int(kh_quota_judge(&quota, &held, &more, &err), -EDQUOT, "too much memory");
    ok(strstr(err.text, "3072 of 4096 MiB of memory, and this needs 2048"),
       "in words: %s", err.text);
    held.disk = 11 * GIB;
    more = kh_quota_new(&limits);
    is_int(kh_quota_judge(&quota, &held, &more, &err), -EDQUOT, "too much disk");
    more = (struct kh_holding){.running = 1, .memory = GIB};
    is_int(kh_quota_judge(&quota, &held, &more, &err), 0,
           "who is over a quota may have what needs none of it");
}

static void
changes(void)
{
    struct kh_broker_reply record = {.state = KH_SANDBOX_RUNNING,
                                     .limits = {.memory = GIB, .disk = 2 * GIB}};
    struct kh_limits less = {.memory = GIB / 2, .disk = GIB};
    struct kh_limits larger = {.memory = 3 * GIB, .disk = 5 * GIB};
    struct kh_holding more = kh_quota_change(&record, &less);

    ok(!more.memory && !more.disk, "less takes nothing");
    more = kh_quota_change(&record, &larger);
    ok(more.memory == 2 * GIB && more.disk == 3 * GIB, "more takes the difference");
    record.state = KH_SANDBOX_STOPPED;
    more = kh_quota_change(&record, &larger);
    ok(!more.memory && more.disk == 3 * GIB, "memory only if it is not stopped");
    more = kh_quota_start(&record);
    ok(more.running == 1 && more.memory == GIB && !more.sandboxes && !more.disk,
       "to start takes memory");
}

static void
forks(void)
{
    struct kh_gateway gateway = {.config = {.quota = {.snapshots = 2, .forks = 3}}};
    struct kh_error err;

    is_int(kh_quota_snapshot(&gateway, 1, &err), 0, "a second snapshot");
    is_int(kh_quota_snapshot(&gateway, 2, &err), -EDQUOT, "no third");
    is_int(kh_quota_fork(&gateway, 3, &err), 0, "three children");
    is_int(kh_quota_fork(&gateway, 4, &err), -EDQUOT, "not four");
    kh_fail(&gateway.config.bad, EINVAL, "not right (hint: correct it)");
    ok(kh_quota_fork(&gateway, 1, &err) == -EDQUOT && strstr(err.text, "correct it"),
       "nothing while the configuration is not right");
}

int
main(void)
{
    reads();
    refuses();
    loads();
    judges();
    changes();
    forks();
    return done();
}
