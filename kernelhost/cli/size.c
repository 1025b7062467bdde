#include "kernelhost/cli/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"

#define FRACTION_DIGITS 9
#define CPU_MILLI_LOW   10
#define CPU_MILLI_HIGH  4096000

/* A decimal number as whole part and billionths; *at moves past it. No sign, no
 * exponent, no spaces: strtod would take "inf", "0x1p3" and the locale's comma. */
static bool
read_decimal(const char **at, uint64_t *ret_whole, uint64_t *ret_billionths)
{
    uint64_t whole = 0, fraction = 0;
    unsigned digits = 0, places = 0;

    for (; **at >= '0' && **at <= '9'; (*at)++, digits++) {
        if (whole > (UINT64_MAX - 9) / 10)
            return false;
        whole = whole * 10 + (uint64_t)(**at - '0');
    }
    if (**at == '.') {
        for ((*at)++; **at >= '0' && **at <= '9'; (*at)++, digits++) {
            if (places == FRACTION_DIGITS)
                return false;
            fraction = fraction * 10 + (uint64_t)(**at - '0');
            places++;
        }
        if (!places)
            return false;
    }
    for (; places < FRACTION_DIGITS; places++)
        fraction *= 10;
    *ret_whole = whole;
    *ret_billionths = fraction;
    return digits > 0;
}

/* The factor's power of two for a unit; -1 when it is none. */
static int
unit_bits(const char *unit)
{
    static const char letters[] = "KMGT";
    const char *letter;

    if (!*unit || !strcmp(unit, "B") || !strcmp(unit, "b"))
        return 0;
    letter = strchr(letters, *unit >= 'a' ? *unit - 'a' + 'A' : *unit);
    if (!letter || !*letter)
        return -1;
    unit++;
    if (*unit && strcmp(unit, "B") && strcmp(unit, "b") && strcmp(unit, "iB") &&
        strcmp(unit, "ib"))
        return -1;
    return 10 * (int)(letter - letters + 1);
}

int
kh_size_parse(const char *text, uint64_t *ret_bytes, struct kh_error *err)
{
    const char *at = text;
    uint64_t whole, billionths, bytes;
    int bits;

    if (!read_decimal(&at, &whole, &billionths) || (bits = unit_bits(at)) < 0)
        return kh_fail(err, EINVAL, "'%.40s' is no size (hint: 512M, 1.5G)", text);
    if (!bits && billionths)
        return kh_fail(err, EINVAL, "'%.40s' is no whole number of bytes", text);
    if (whole > (1ull << 62) >> bits || (whole == (1ull << 62) >> bits && billionths))
        return kh_fail(err, EINVAL, "size '%.40s' is too large", text);
    /* billionths < 2^30, so only the largest unit needs the split. */
    bytes = whole << bits;
    if (bits <= 30)
        bytes += (billionths << bits) / 1000000000;
    else
        bytes += ((billionths << 30) / 1000000000) << (bits - 30);
    if (!bytes)
        return kh_fail(err, EINVAL, "size '%.40s' is nothing (hint: 512M)", text);
    *ret_bytes = bytes;
    return 0;
}

int
kh_cpus_parse(const char *text, uint32_t *ret_milli, struct kh_error *err)
{
    const char *at = text;
    uint64_t whole, billionths, milli;

    if (!read_decimal(&at, &whole, &billionths) || *at)
        return kh_fail(err, EINVAL, "'%.40s' is no number of processors (hint: 1, 0.5)",
                       text);
    milli = whole > CPU_MILLI_HIGH ? UINT64_MAX : whole * 1000 + billionths / 1000000;
    if (milli < CPU_MILLI_LOW || milli > CPU_MILLI_HIGH)
        return kh_fail(err, EINVAL, "number of processors '%.40s' is not in 0.01 .. %d",
                       text, CPU_MILLI_HIGH / 1000);
    *ret_milli = (uint32_t)milli;
    return 0;
}

int
kh_count_parse(const char *what, const char *text, uint64_t low, uint64_t high,
               uint64_t *ret, struct kh_error *err)
{
    const char *at = text;
    uint64_t whole, billionths;

    if (strchr(text, '.') || !read_decimal(&at, &whole, &billionths) || *at)
        return kh_fail(err, EINVAL, "%s '%.40s' is no whole number", what, text);
    if (whole < low || whole > high)
        return kh_fail(err, EINVAL, "%s '%.40s' is not in %" PRIu64 " .. %" PRIu64,
                       what, text, low, high);
    *ret = whole;
    return 0;
}

char *
kh_size_text(uint64_t bytes, char out[static KH_SIZE_TEXT])
{
    static const char units[] = "KMGTPE";
    const char *unit = NULL;
    uint64_t tenths = bytes;

    if (bytes < 1024) {
        snprintf(out, KH_SIZE_TEXT, "%" PRIu64, bytes);
        return out;
    }
    for (unit = units; bytes >= 1024 * 1024 && unit[1]; unit++)
        bytes >>= 10;
    tenths = bytes * 10 / 1024;
    if (tenths >= 100 || tenths % 10 == 0)
        snprintf(out, KH_SIZE_TEXT, "%" PRIu64 "%c", tenths / 10, *unit);
    else
        snprintf(out, KH_SIZE_TEXT, "%" PRIu64 ".%" PRIu64 "%c", tenths / 10,
                 tenths % 10, *unit);
    return out;
}

int
kh_time_parse(const char *text, uint64_t *ret_seconds, struct kh_error *err)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const uint64_t most = 10ull * 365 * 86400;
    uint64_t whole, billionths, value;
    const char *at = text;
    size_t i;

    if (!read_decimal(&at, &whole, &billionths))
        return kh_fail(err, EINVAL, "'%.40s' is no time (hint: 30s, 10m, 2h)", text);
    for (i = 0; i < KH_COUNT(units) && strcmp(at, units[i].unit) != 0; i++)
        continue;
    if (i == KH_COUNT(units))
        return kh_fail(err, EINVAL, "'%.40s' is no time (hint: 30s, 10m, 2h)", text);
    value = whole > most
                ? most + 1
                : whole * units[i].seconds + billionths * units[i].seconds / 1000000000;
    if (value < 1 || value > most)
        return kh_fail(err, EINVAL, "'%.40s' is not between 1 s and ten years", text);
    *ret_seconds = value;
    return 0;
}
