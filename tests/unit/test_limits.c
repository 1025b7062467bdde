#include "kernelhost/gateway/limits.h"

#include <errno.h>
#include <stdio.h>

#include "tests/tap.h"

static int
read_text(const char *text, struct kh_limits *ret_limits, struct kh_error *err)
{
    json_t *object = json_loads(text, 0, NULL);
    int r = object ? kh_limits_read(object, ret_limits, err) : -1;

    json_decref(object);
    return r;
}

static const struct {
    const char *text;
    uint64_t memory;
    uint32_t cpu_milli, pids;
    uint64_t disk;
} good[] = {
    {"{}", 0, 0, 0},
    {"{\"memory\":null,\"cpus\":null}", 0, 0, 0},
    {"{\"memory\":67108864}", 64ull << 20, 0, 0},
    {"{\"memory\":\"67108864\"}", 64ull << 20, 0, 0},
    {"{\"memory\":\"512M\"}", 512ull << 20, 0, 0},
    {"{\"memory\":\"512 MiB\"}", 512ull << 20, 0, 0},
    {"{\"memory\":\"512mb\"}", 512ull << 20, 0, 0},
    {"{\"memory\":\"1.5G\"}", 1536ull << 20, 0, 0},
    {"{\"memory\":\"65536K\"}", 64ull << 20, 0, 0},
    {"{\"memory\":\"1T\",\"cpus\":2,\"pids\":100}", 1ull << 40, 2000, 100},
    {"{\"cpus\":0.25}", 0, 250, 0},
    {"{\"cpus\":0.01,\"pids\":16}", 0, 10, 16},
    {"{\"cpus\":1000,\"pids\":32768}", 0, 1000000, 32768},
    {"{\"disk\":16777216}", 0, 0, 0, 16ull << 20},
    {"{\"disk\":\"2.5G\",\"pids\":16}", 0, 0, 16, 2560ull << 20},
};

static const char *const bad[] = {
    "{\"memory\":1}",
    "{\"memory\":67108863}",
    "{\"memory\":-1}",
    "{\"memory\":1e9}",
    "{\"memory\":true}",
    "{\"memory\":\"\"}",
    "{\"memory\":\"M\"}",
    "{\"memory\":\"-512M\"}",
    "{\"memory\":\" 512M\"}",
    "{\"memory\":\"512X\"}",
    "{\"memory\":\"512MM\"}",
    "{\"memory\":\"0x20000000\"}",
    "{\"memory\":\"inf\"}",
    "{\"memory\":\"nan\"}",
    "{\"memory\":\"1e9\"}",
    "{\"memory\":\"99999999T\"}",
    "{\"memory\":\"1000000000000000000000000000000000000000000\"}",
    "{\"memory\":[]}",
    "{\"cpus\":0}",
    "{\"cpus\":0.001}",
    "{\"cpus\":1000.5}",
    "{\"cpus\":\"2\"}",
    "{\"cpus\":-1}",
    "{\"pids\":15}",
    "{\"pids\":32769}",
    "{\"pids\":20.5}",
    "{\"pids\":\"64\"}",
    "{\"disk\":16777215}",
    "{\"disk\":\"15M\"}",
    "{\"disk\":\"all\"}",
    "{\"disk\":1e9}",
    "{\"disk\":\"2000T\"}",
};

int
main(void)
{
    struct kh_limits limits;
    struct kh_error err;
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); i++)
        ok(read_text(good[i].text, &limits, &err) == 0 &&
               limits.memory == good[i].memory &&
               limits.cpu_milli == good[i].cpu_milli && limits.pids == good[i].pids &&
               limits.disk == good[i].disk,
           "%s is read", good[i].text);
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        limits.memory = 42;
        ok(read_text(bad[i], &limits, &err) == -EINVAL && limits.memory == 42 &&
               err.text[0] == '\'',
           "%s is refused", bad[i]);
    }
    return done();
}
