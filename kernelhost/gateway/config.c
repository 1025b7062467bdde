#include "kernelhost/gateway/config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/log.h"
#include "kernelhost/gateway/database.h"
#include "kernelhost/gateway/limits.h"
#include "protocol/jupyter/jsontree.h"

#define PRICE_MAX 1e6
#define COUNT_MAX 1000000000ll

static const struct kh_config preset = {.prices = {.cpu_second = 0.00002}};

struct field {
    const char *name;
    size_t at;
    int (*read)(const json_t *value, void *ret, struct kh_error *err);
};

static int
read_price(const json_t *value, void *ret, struct kh_error *err)
{
    double price = json_number_value(value);

    if (!json_is_number(value) || !(price >= 0 && price <= PRICE_MAX))
        return kh_fail(err, EINVAL, "must be dollars, a number from 0 on");
    memcpy(ret, &price, sizeof(price));
    return 0;
}

static int
read_count(const json_t *value, void *ret, struct kh_error *err)
{
    json_int_t count = json_integer_value(value);
    uint64_t number = (uint64_t)count;

    if (!json_is_integer(value) || count < 1 || count > COUNT_MAX)
        return kh_fail(err, EINVAL, "must be an integer from 1 on");
    memcpy(ret, &number, sizeof(number));
    return 0;
}

static int
read_bytes(const json_t *value, void *ret, struct kh_error *err)
{
    uint64_t bytes = 0;
    int r = kh_limits_bytes(value, &bytes, err);

    if (r == 0)
        memcpy(ret, &bytes, sizeof(bytes));
    return r;
}

static const struct field prices[] = {
    {"cpu_second", offsetof(struct kh_config, prices.cpu_second), read_price},
    {"memory_gib_second", offsetof(struct kh_config, prices.memory_gib_second),
     read_price},
    {"disk_gib_second", offsetof(struct kh_config, prices.disk_gib_second), read_price},
    {NULL, 0, NULL},
};

static const struct field quotas[] = {
    {"sandboxes", offsetof(struct kh_config, quota.sandboxes), read_count},
    {"running", offsetof(struct kh_config, quota.running), read_count},
    {"memory", offsetof(struct kh_config, quota.memory), read_bytes},
    {"disk", offsetof(struct kh_config, quota.disk), read_bytes},
    {"snapshots", offsetof(struct kh_config, quota.snapshots), read_count},
    {"forks", offsetof(struct kh_config, quota.forks), read_count},
    {NULL, 0, NULL},
};

/* A word that means nothing may be one that was meant to: it is no preset. */
static int
read_fields(const json_t *object, const struct field *fields, struct kh_config *config,
            struct kh_error *err)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return kh_fail(err, EINVAL, "must be an object");
    json_object_foreach((json_t *)object, name, value)
    {
        const struct field *field = fields;

        while (field->name && strcmp(field->name, name) != 0)
            field++;
        if (!field->name)
            return kh_fail(err, EINVAL, "there is no '%.40s'", name);
        if (field->read(value, (char *)config + field->at, err) < 0)
            return kh_fail_in(err, "'%s'", name);
    }
    return 0;
}

static int
read_owners(const json_t *object, struct kh_config *config, struct kh_error *err)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return kh_fail(err, EINVAL, "must be an object");
    json_object_foreach((json_t *)object, name, value)
    {
        if (strcmp(name, KH_DATABASE_OWNER) != 0)
            return kh_fail(err, EINVAL,
                           "there is no owner '%.40s' (hint: '" KH_DATABASE_OWNER "')",
                           name);
        if (read_fields(value, quotas, config, err) < 0)
            return kh_fail_in(err, "'%s'", name);
    }
    return 0;
}

static int
read_all(const json_t *root, struct kh_config *config, struct kh_error *err)
{
    const char *name;
    json_t *value;
    int r = 0;

    json_object_foreach((json_t *)root, name, value)
    {
        if (!strcmp(name, "prices"))
            r = read_fields(value, prices, config, err);
        else if (!strcmp(name, "quotas"))
            r = read_owners(value, config, err);
        else
            return kh_fail(err, EINVAL, "there is no '%.40s'", name);
        if (r < 0)
            return kh_fail_in(err, "'%s'", name);
    }
    return 0;
}

int
kh_config_parse(struct kh_slice text, struct kh_config *ret_config,
                struct kh_error *err)
{
    AUTO_JSON json_t *root = NULL;
    struct kh_config config = preset;
    int r = kh_jsontree_parse(text, KH_CONFIG_MAX, &root, err);

    if (r == 0)
        r = read_all(root, &config, err);
    if (r == 0)
        *ret_config = config;
    return r;
}

void
kh_config_load(const char *path, struct kh_config *ret_config)
{
    AUTO_FREE char *text = NULL;
    struct kh_error err = {0};
    char why[200];
    size_t size = 0;
    int r = path ? kh_fd_read_file(AT_FDCWD, path, KH_CONFIG_MAX, &text, &size, &err)
                 : -ENOENT;

    *ret_config = preset;
    if (r == -ENOENT)
        return;
    if (r == 0)
        r = kh_config_parse((struct kh_slice){text, size}, ret_config, &err);
    if (r == 0)
        return;
    *ret_config = preset;
    kh_fail(&ret_config->bad, EINVAL,
            KH_CONFIG_FILE
            " of the state directory is not right: %s (hint: correct it, "
            "let everybody read it, then kernelhost restart)",
            kh_log_clean(err.text, strlen(err.text), why, sizeof(why)));
    kh_log(KH_LOG_ERROR, "%s", ret_config->bad.text);
}
