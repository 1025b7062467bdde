#include "protocol/jupyter/header.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "protocol/jupyter/json.h"

static const struct field {
    const char *name;
    size_t offset, size;
    bool required;
} fields[] = {
#define FIELD(name, required)                                                          \
    {                                                                                  \
#name, offsetof(struct kh_header, name),                                       \
            sizeof(((struct kh_header *)0)->name), required                            \
    }
    FIELD(msg_id, true),       FIELD(session, true), FIELD(username, false),
    FIELD(msg_type, true),     FIELD(date, false),   FIELD(version, false),
    FIELD(subshell_id, false),
#undef FIELD
};

static int
take_field(const struct field *field, struct kh_json_value value,
           struct kh_header *header, struct kh_error *err)
{
    long length;

    if (!value.type || value.type == KH_JSON_NULL) {
        if (field->required)
            return kh_fail(err, EBADMSG, "header has no '%s'", field->name);
        return 0;
    }
    length = kh_json_text(value, (char *)header + field->offset, field->size);
    if (length == -EMSGSIZE)
        return kh_fail(err, EBADMSG, "header field '%s' is longer than %zu bytes",
                       field->name, field->size - 1);
    if (length < 0)
        return kh_fail(err, EBADMSG, "header field '%s' must be a string without NUL",
                       field->name);
    if (!length && field->required)
        return kh_fail(err, EBADMSG, "header field '%s' is empty", field->name);
    return 0;
}

/* It stands in topics, logs and metrics. */
static bool
plain_type(const char *type)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_.-";

    return type[strspn(type, plain)] == '\0';
}

static bool
is_version_5(const char *version)
{
    return !*version || !strcmp(version, "5") || !strncmp(version, "5.", 2);
}

int
kh_header_parse(struct kh_slice json, struct kh_header *ret_header,
                struct kh_error *err)
{
    struct kh_json_value values[KH_COUNT(fields)];
    const char *names[KH_COUNT(fields)];
    struct kh_header header = {0};
    size_t i;
    int r;

    if (json.size > KH_HEADER_MAX)
        return kh_fail(err, EBADMSG, "header of %zu bytes is over the limit of %d",
                       json.size, KH_HEADER_MAX);
    for (i = 0; i < KH_COUNT(fields); i++)
        names[i] = fields[i].name;
    r = kh_json_find(json, names, KH_COUNT(fields), values, err);
    for (i = 0; i < KH_COUNT(fields) && r == 0; i++)
        r = take_field(&fields[i], values[i], &header, err);
    if (r < 0)
        return r;
    if (!plain_type(header.msg_type))
        return kh_fail(err, EBADMSG,
                       "header field 'msg_type' has other characters than "
                       "letters, digits, '_', '.' and '-'");
    if (!is_version_5(header.version))
        return kh_fail(err, EBADMSG, "header field 'version' is not 5.x");
    *ret_header = header;
    return 0;
}

void
kh_date_text(int64_t seconds, long nanoseconds, char ret_date[KH_DATE_SIZE])
{
    time_t t = (time_t)seconds;
    char day[KH_DATE_SIZE];
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm))
        day[0] = '\0';
    snprintf(ret_date, KH_DATE_SIZE, "%.19s.%06luZ", day,
             (unsigned long)nanoseconds / 1000 % 1000000);
}

void
kh_date_now(char ret_date[KH_DATE_SIZE])
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    kh_date_text(now.tv_sec, now.tv_nsec, ret_date);
}

void
kh_origin_init(struct kh_origin *origin, const char *username)
{
    memset(origin, 0, sizeof(*origin));
    kh_uuid_make(origin->session);
    snprintf(origin->username, sizeof(origin->username), "%s", username);
}

void
kh_origin_header(struct kh_origin *origin, const char *msg_type, uint64_t number,
                 struct kh_buf *out)
{
    char msg_id[KH_UUID_SIZE + 24], date[KH_DATE_SIZE];

    snprintf(msg_id, sizeof(msg_id), "%s_%s%" PRIu64, origin->session,
             number ? "" : "x", number ? number : ++origin->count);
    kh_date_now(date);
    kh_json_addf(out,
                 "{\"msg_id\":%s,\"session\":%s,\"username\":%s,\"date\":%s,"
                 "\"msg_type\":%s,\"version\":%s}",
                 msg_id, origin->session, origin->username, date, msg_type,
                 KH_PROTOCOL_VERSION);
}
