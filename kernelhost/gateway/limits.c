#include "kernelhost/gateway/limits.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MIN (64ull << 20)
#define DISK_MIN   (16ull << 20)
#define SIZE_MOST  (1ull << 50)
#define CPUS_MIN   0.01
#define CPUS_MAX   1000.0
#define PIDS_MIN   16
#define PIDS_MAX   32768

#define MEMORY_RULE                                                                    \
    "'memory' is bytes or text with K, M or G, like \"512M\", from 64M on"

#define DISK_RULE "'disk' is bytes or text with K, M or G, like \"2G\", from 16M on"

/* The power of 1024 that a unit stands for, or -1. */
static int
unit_shift(const char *unit)
{
    static const struct {
        const char *unit;
        int shift;
    } table[] = {
        {"", 0},     {"B", 0},   {"K", 10},   {"KB", 10},  {"KIB", 10},
        {"M", 20},   {"MB", 20}, {"MIB", 20}, {"G", 30},   {"GB", 30},
        {"GIB", 30}, {"T", 40},  {"TB", 40},  {"TIB", 40},
    };
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (!strcasecmp(unit, table[i].unit))
            return table[i].shift;
    return -1;
}

/* Bytes as a text says them; -1 when it does not. */
static double
size_of(const char *text)
{
    char *end;
    double value;
    int shift;

    /* strtod also takes "inf", "nan" and hexadecimal; begin with a digit, and
     * no 'x', leaves decimal notation. */
    if (!isdigit((unsigned char)text[0]) || strpbrk(text, "xXpPeE") ||
        strlen(text) > 32)
        return -1;
    value = strtod(text, &end);
    while (*end == ' ')
        end++;
    shift = unit_shift(end);
    return shift < 0 ? -1 : value * (double)(1ull << shift);
}

static int
check_size(double bytes, uint64_t least, const char *rule, uint64_t *ret_bytes,
           struct kh_error *err)
{
    if (!(bytes >= (double)least && bytes <= (double)SIZE_MOST))
        return kh_fail(err, EINVAL, "%s", rule);
    *ret_bytes = (uint64_t)bytes;
    return 0;
}

static int
read_size(const json_t *value, uint64_t least, const char *rule, uint64_t *ret_bytes,
          struct kh_error *err)
{
    double bytes = json_is_string(value)    ? size_of(json_string_value(value))
                   : json_is_integer(value) ? (double)json_integer_value(value)
                                            : -1;

    return check_size(bytes, least, rule, ret_bytes, err);
}

int
kh_limits_memory(const char *text, uint64_t *ret_bytes, struct kh_error *err)
{
    return check_size(size_of(text), MEMORY_MIN, MEMORY_RULE, ret_bytes, err);
}

int
kh_limits_bytes(const json_t *value, uint64_t *ret_bytes, struct kh_error *err)
{
    return read_size(value, 1, "must be bytes or text with K, M or G, like \"64G\"",
                     ret_bytes, err);
}

static int
read_memory(const json_t *value, struct kh_limits *limits, struct kh_error *err)
{
    return read_size(value, MEMORY_MIN, MEMORY_RULE, &limits->memory, err);
}

static int
read_disk(const json_t *value, struct kh_limits *limits, struct kh_error *err)
{
    return read_size(value, DISK_MIN, DISK_RULE, &limits->disk, err);
}

static int
read_cpus(const json_t *value, struct kh_limits *limits, struct kh_error *err)
{
    double cpus = json_number_value(value);

    if (!json_is_number(value) || !(cpus >= CPUS_MIN && cpus <= CPUS_MAX))
        return kh_fail(err, EINVAL, "'cpus' is a number from 0.01 to 1000");
    limits->cpu_milli = (uint32_t)lround(cpus * 1000);
    return 0;
}

static int
read_pids(const json_t *value, struct kh_limits *limits, struct kh_error *err)
{
    json_int_t pids = json_integer_value(value);

    if (!json_is_integer(value) || pids < PIDS_MIN || pids > PIDS_MAX)
        return kh_fail(err, EINVAL, "'pids' is an integer from 16 to 32768");
    limits->pids = (uint32_t)pids;
    return 0;
}

int
kh_limits_read(const json_t *object, struct kh_limits *ret_limits, struct kh_error *err)
{
    static const struct {
        const char *name;
        int (*read)(const json_t *value, struct kh_limits *limits,
                    struct kh_error *err);
    } table[] = {
        {"memory", read_memory},
        {"cpus", read_cpus},
        {"pids", read_pids},
        {"disk", read_disk},
    };
    struct kh_limits limits = {0};
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(*table); i++) {
        const json_t *value = json_object_get(object, table[i].name);
        int r;

        if (!value || json_is_null(value))
            continue;
        r = table[i].read(value, &limits, err);
        if (r < 0)
            return r;
    }
    *ret_limits = limits;
    return 0;
}
