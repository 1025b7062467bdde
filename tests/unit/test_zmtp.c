#include "kernelhost/gateway/zmtp.h"

#include <stdbool.h>

#include "tests/tap.h"
#include "tests/unit/zmtp.h"

static char bytes[65536], content[4000];
static struct kh_zmtp_end ends[100];
static size_t count;

static size_t
scan(struct kh_zmtp *zmtp, const char *data, size_t size, size_t max)
{
    return kh_zmtp_scan(zmtp, data, size, ends, max, &count);
}

/* Greeting, a READY command, three messages; *RET_END: where each ends. */
static size_t
make_stream(size_t ret_end[3])
{
    size_t at = zmtp_greeting(bytes);

    at += zmtp_frame(bytes + at, 4, "\5READY", 6);
    at += zmtp_message(bytes + at, 77, "{}", 2);
    ret_end[0] = at;
    at += zmtp_message(bytes + at, 0, "{}", 2);
    at += zmtp_message(bytes + at, 123456789012345, content, sizeof(content));
    ret_end[1] = at;
    at += zmtp_message(bytes + at, 123456789012346, "", 0);
    ret_end[2] = at;
    return at;
}

static void
whole(void)
{
    struct kh_zmtp zmtp = {0};
    size_t end[3], size = make_stream(end);

    ok(kh_zmtp_begins(bytes, size), "a connection begins with a greeting");
    ok(!kh_zmtp_begins("HTTP/1.1 200", 12) && !kh_zmtp_begins(bytes, 9),
       "and nothing else");
    is_int(scan(&zmtp, bytes, size, 100), size, "all bytes are taken");
    is_int(count, 3, "messages without a position are not counted");
    ok(ends[0].position == 77 && ends[0].offset == end[0], "the first one");
    ok(ends[1].position == 123456789012345 && ends[1].offset == end[1], "a long one");
    ok(ends[2].position == 123456789012346 && ends[2].offset == end[2], "an empty one");
}

static void
pieces(void)
{
    size_t end[3], size = make_stream(end), piece, at, seen, n;
    bool same = true;

    for (piece = 1; piece < 300; piece++) {
        struct kh_zmtp zmtp = {0};

        for (at = seen = 0; at < size; at += n) {
            size_t i;

            n = size - at < piece ? size - at : piece;
            same = same && scan(&zmtp, bytes + at, n, 100) == n;
            for (i = 0; i < count; i++)
                same = same && seen < 3 && at + ends[i].offset == end[seen++];
        }
        same = same && seen == 3;
    }
    ok(same, "cut into pieces of any size it is the same");
}

static void
room(void)
{
    struct kh_zmtp zmtp = {0};
    size_t end[3], size = make_stream(end);

    is_int(scan(&zmtp, bytes, size, 1), end[0], "it stops when there is no more room");
    is_int(scan(&zmtp, bytes + end[0], size - end[0], 1), end[1] - end[0],
           "and goes on from there");
}

static void
replies(void)
{
    struct kh_zmtp zmtp = {0};
    size_t at = zmtp_greeting(bytes);
    const char *header = "{\"msg_id\":\"" ZMTP_SESSION "_5\"}";

    at += zmtp_frame(bytes + at, 1, "far", 3); /* an identity that was routed on */
    at += zmtp_frame(bytes + at, 1, "<IDS|MSG>", 9);
    at += zmtp_frame(bytes + at, 1, "<IDS|MSG>", 9); /* a signature, if you like */
    at += zmtp_frame(bytes + at, 1, header, strlen(header));
    at += zmtp_frame(bytes + at, 0, header, strlen(header));
    scan(&zmtp, bytes, at, 100);
    ok(count == 1 && ends[0].position == 5, "a reply with identities");
}

static void
nonsense(void)
{
    static const char *const headers[] = {
        "{\"msg_id\":\"" ZMTP_SESSION "_\"}", "{\"msg_id\":\"" ZMTP_SESSION "_12",
        "{\"msg_id\":\"" ZMTP_SESSION "-12\"}", "{}", ""};
    struct kh_zmtp zmtp = {0};
    size_t at = zmtp_greeting(bytes), i;

    for (i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        at += zmtp_frame(bytes + at, 1, "<IDS|MSG>", 9);
        at += zmtp_frame(bytes + at, 1, "s", 1);
        at += zmtp_frame(bytes + at, 0, headers[i], strlen(headers[i]));
    }
    is_int(scan(&zmtp, bytes, at, 100), at, "wrong headers are taken");
    is_int(count, 0, "and are no messages");
    memset(&zmtp, 0, sizeof(zmtp));
    zmtp_greeting(bytes);
    bytes[10] = 1;
    at = 64 + zmtp_message(bytes + 64, 5, "", 0);
    is_int(scan(&zmtp, bytes, at, 100), at, "ZMTP 2 is taken");
    ok(count == 0 && zmtp.lost, "and not understood");
}

int
main(void)
{
    whole();
    pieces();
    room();
    replies();
    nonsense();
    return done();
}
