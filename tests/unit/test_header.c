#include "protocol/jupyter/header.h"

#include <errno.h>

#include "protocol/jupyter/json.h"
#include "tests/tap.h"

static void
reading(void)
{
    struct kh_header header;
    struct kh_error err;

    is_int(kh_header_parse(
               kh_slice_text(
                   "{\"msg_id\":\"m\",\"session\":\"s\",\"username\":\"caf\\u00e9\","
                   "\"date\":\"2026-01-02T03:04:05Z\",\"msg_type\":\"x_request\","
                   "\"version\":\"5.4\",\"subshell_id\":\"7\",\"more\":[1]}"),
               &header, &err),
           0, "a header is read");
    is_str(header.msg_id, "m", "msg_id");
    is_str(header.session, "s", "session");
    is_str(header.username, "caf\xc3\xa9", "username");
    is_str(header.date, "2026-01-02T03:04:05Z", "date");
    is_str(header.msg_type, "x_request", "msg_type");
    is_str(header.version, "5.4", "version");
    is_str(header.subshell_id, "7", "subshell_id");
    is_int(kh_header_parse(kh_slice_text("{\"msg_id\":\"m\",\"session\":\"s\"}"),
                           &header, &err),
           -EBADMSG, "one without msg_type is refused");
    is_str(err.text, "header has no 'msg_type'", "with the reason");
    is_str(header.msg_id, "m", "and the output is left alone");
    is_int(kh_header_parse((struct kh_slice){"{}", KH_HEADER_MAX + 1}, &header, &err),
           -EBADMSG, "one over the limit is refused unread");
}

static void
making(void)
{
    struct kh_origin origin, other;
    struct kh_header one, two;
    struct kh_buf out = KH_BUF_INIT;
    size_t first;
    char want[80];

    kh_origin_init(&origin, "kernel");
    kh_origin_init(&other, "a name that is longer than what is kept of it");
    ok(strcmp(origin.session, other.session), "two origins have two sessions");
    kh_origin_header(&origin, "status", 7, &out);
    first = kh_buf_len(&out);
    kh_origin_header(&origin, "stream", 0, &out);
    is_int(kh_header_parse((struct kh_slice){kh_buf_ptr(&out), first}, &one, NULL), 0,
           "a header that was made can be read");
    kh_header_parse(
        (struct kh_slice){kh_buf_ptr(&out) + first, kh_buf_len(&out) - first}, &two,
        NULL);
    is_str(one.session, origin.session, "it has the session");
    is_str(two.session, one.session, "of its origin");
    snprintf(want, sizeof(want), "%s_x1", origin.session);
    is_str(two.msg_id, want, "msg_id counts");
    is_str(one.version, "5.5", "the version is what we speak");
    is_str(two.msg_type, "stream", "the type is kept");
    ok(strlen(one.date) == 27 && one.date[19] == '.' && one.date[26] == 'Z',
       "the date has microseconds and Z");
    kh_buf_release(&out);
}

static void
dates(void)
{
    char date[KH_DATE_SIZE];

    kh_date_text(0, 0, date);
    is_str(date, "1970-01-01T00:00:00.000000Z", "the epoch");
    kh_date_text(1767225599, 999999999, date);
    is_str(date, "2025-12-31T23:59:59.999999Z", "the last microsecond of a year");
    kh_date_text(INT64_MAX, -1, date);
    ok(strlen(date) < sizeof(date), "an absurd time stays inside its array");
}

int
main(void)
{
    reading();
    making();
    dates();
    return done();
}
