#include "kernelhost/cli/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "kernelhost/cli/size.h"
#include "protocol/link/broker.h"

#define MEMORY_LOW (64ull << 20)
#define DISK_LOW   (16ull << 20)
#define PIDS_LOW   16
#define PIDS_HIGH  32768

static int
read_image(const char *text, json_t **ret, struct kh_error *err)
{
    char fixed[KH_IMAGE_NAME_SIZE] = {0};

    if (strlen(text) < sizeof(fixed))
        memcpy(fixed, text, strlen(text));
    if (!kh_image_name_valid(fixed))
        return kh_fail(err, EINVAL,
                       "'%.80s' is no image name (hint: kernelhost image ls)", text);
    *ret = json_string(text);
    return 0;
}

static int
read_memory(const char *text, json_t **ret, struct kh_error *err)
{
    uint64_t bytes;
    int r = kh_size_parse(text, &bytes, err);

    if (r == 0 && bytes < MEMORY_LOW)
        return kh_fail(err, EINVAL, "'%.40s' is less than 64M (hint: 512M)", text);
    if (r == 0)
        *ret = json_integer((json_int_t)bytes);
    return r;
}

static int
read_disk(const char *text, json_t **ret, struct kh_error *err)
{
    uint64_t bytes;
    int r = kh_size_parse(text, &bytes, err);

    if (r == 0 && bytes < DISK_LOW)
        return kh_fail(err, EINVAL, "'%.40s' is less than 16M (hint: 2G)", text);
    if (r == 0)
        *ret = json_integer((json_int_t)bytes);
    return r;
}

static int
read_cpus(const char *text, json_t **ret, struct kh_error *err)
{
    uint32_t milli;
    int r = kh_cpus_parse(text, &milli, err);

    if (r == 0)
        *ret = json_real(milli / 1000.0);
    return r;
}

static int
read_pids(const char *text, json_t **ret, struct kh_error *err)
{
    uint64_t count;
    int r =
        kh_count_parse("number of processes", text, PIDS_LOW, PIDS_HIGH, &count, err);

    if (r == 0)
        *ret = json_integer((json_int_t)count);
    return r;
}

int
kh_limits_read(const struct kh_args *args, json_t *body, struct kh_error *err)
{
    static const struct {
        const char *name;
        int (*read)(const char *, json_t **, struct kh_error *);
    } rows[] = {{"image", read_image},
                {"memory", read_memory},
                {"cpus", read_cpus},
                {"pids", read_pids},
                {"disk", read_disk}};
    size_t i;

    for (i = 0; i < KH_COUNT(rows); i++) {
        const char *text = kh_args_get(args, rows[i].name);
        json_t *value = NULL;

        if (!text)
            continue;
        if (rows[i].read(text, &value, err) < 0)
            return kh_fail_in(err, "option '--%s'", rows[i].name);
        json_object_set_new(body, rows[i].name, value);
    }
    return 0;
}

/* Who is kept awake does not sleep after a while. */
static int
check_awake(const struct kh_args *args, const char *option, struct kh_error *err)
{
    const char *text = kh_args_get(args, option);

    if (!kh_args_has(args, "keep-awake") || !text || !strcmp(text, "never"))
        return 0;
    return kh_fail(err, EINVAL,
                   "'--keep-awake' and '--%s %.40s' contradict each other (hint: leave "
                   "one out; '--freeze-after never' or '--hibernate-after never' is "
                   "for one of the two)",
                   option, text);
}

/* The option's value as the API wants it; nothing when it was not given. */
static int
put_time(const struct kh_args *args, const char *option, const char *field,
         json_t *body, struct kh_error *err)
{
    const char *text = kh_args_get(args, option);
    uint64_t seconds;

    if (kh_args_has(args, "keep-awake") || (text && !strcmp(text, "never"))) {
        json_object_set_new(body, field, json_null());
        return 0;
    }
    if (!text)
        return 0;
    if (kh_time_parse(text, &seconds, err) < 0)
        return kh_fail_in(err, "option '--%s'", option);
    json_object_set_new(body, field, json_integer((json_int_t)seconds));
    return 0;
}

int
kh_idle_read(const struct kh_args *args, json_t *body, struct kh_error *err)
{
    int r = check_awake(args, "freeze-after", err);

    if (r == 0)
        r = check_awake(args, "hibernate-after", err);
    if (r == 0)
        r = put_time(args, "freeze-after", "freeze_after", body, err);
    return r < 0 ? r : put_time(args, "hibernate-after", "hibernate_after", body, err);
}

static const char *
after(const json_t *ladder, const char *field, char out[KH_SIZE_TEXT])
{
    const json_t *value = json_object_get(ladder, field);

    if (!json_is_integer(value))
        return "never";
    snprintf(out, KH_SIZE_TEXT, "%llds", (long long)json_integer_value(value));
    return out;
}

const char *
kh_idle_text(const json_t *ladder, char out[KH_IDLE_TEXT])
{
    char freeze[KH_SIZE_TEXT], hibernate[KH_SIZE_TEXT];

    snprintf(out, KH_IDLE_TEXT, "freezes after %s, hibernates after %s",
             after(ladder, "freeze_after", freeze),
             after(ladder, "hibernate_after", hibernate));
    return out;
}
