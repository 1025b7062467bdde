/* The broker between a gateway that this program plays and a host without sandboxes. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/host/broker.h"
#include "tests/tap.h"

static struct kh_host host;
static struct kh_broker broker;
static int gateway;

static void
begin(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        abort();
    gateway = pair[0];
    host.store.images = host.store.sandboxes = -1;
    kh_broker_reset(&broker, &host, pair[1]);
}

static void
end(void)
{
    close(broker.sock);
    close(gateway);
    kh_broker_release(&broker);
}

static struct kh_broker_request
request(uint32_t type, uint64_t serial)
{
    return (struct kh_broker_request){.magic = KH_BROKER_MAGIC,
                                      .type = type,
                                      .serial = serial,
                                      .arg = type == KH_BROKER_HELLO ? KH_BROKER_VERSION
                                                                     : 0};
}

/* Sends and serves one request; returns what serving it did. */
static int
ask(uint32_t type, uint64_t serial, struct kh_error *err)
{
    struct kh_broker_request q = request(type, serial);

    if (kh_fd_send(gateway, &q, sizeof(q), -1) < 0)
        abort();
    return kh_broker_serve(&broker, err);
}

static void
greet(void)
{
    struct kh_broker_reply reply;
    struct kh_error err;

    begin();
    ask(KH_BROKER_HELLO, 1, &err);
    kh_fd_recv(gateway, &reply, sizeof(reply), NULL);
}

static int
refused(const void *p, size_t size)
{
    struct kh_error err;
    int r;

    greet();
    kh_fd_send(gateway, p, size, -1);
    r = kh_broker_serve(&broker, &err);
    end();
    return r;
}

static void
malformed(void)
{
    struct kh_broker_request q = request(KH_BROKER_LIST, 2);
    char longer[sizeof(q) + 1] = {0};

    is_int(refused(&q, sizeof(q) - 1), -EBADMSG, "a byte less ends the gateway");
    memcpy(longer, &q, sizeof(q));
    is_int(refused(longer, sizeof(longer)), -EBADMSG, "a byte more does");
    q.magic++;
    is_int(refused(&q, sizeof(q)), -EBADMSG, "another magic does");
    q = request(KH_BROKER_LIST, 0);
    is_int(refused(&q, sizeof(q)), -EBADMSG, "the serial 0 does");
    q = request(KH_BROKER_STAT, 2);
    memset(q.name, 'a', sizeof(q.name));
    is_int(refused(&q, sizeof(q)), -EBADMSG, "a name without an end does");
    q = request(KH_BROKER_CREATE, 2);
    memset(q.image, 'a', sizeof(q.image));
    is_int(refused(&q, sizeof(q)), -EBADMSG, "an image without an end does");
    q = request(KH_BROKER_SNAPSHOT, 2);
    memset(q.other, 'a', sizeof(q.other));
    is_int(refused(&q, sizeof(q)), -EBADMSG, "a snapshot without an end does");
    q = request(77, 2);
    is_int(refused(&q, sizeof(q)), -EBADMSG, "an unknown type does");
    q = request(KH_BROKER_HELLO, 2);
    is_int(refused(&q, sizeof(q)), -EBADMSG, "a second HELLO does");
}

static void
phases(void)
{
    struct kh_broker_reply reply;
    struct kh_error err;

    begin();
    is_int(ask(KH_BROKER_LIST, 1, &err), -EBADMSG, "nothing comes before HELLO");
    end();
    begin();
    is_int(ask(KH_BROKER_HELLO, 7, &err), 0, "HELLO is served");
    is_int(kh_fd_recv(gateway, &reply, sizeof(reply), NULL), sizeof(reply),
           "and answered");
    is_int((int)reply.serial, 7, "with its serial");
    is_int(ask(KH_BROKER_STAT, 8, &err), 0, "a name that is none");
    kh_fd_recv(gateway, &reply, sizeof(reply), NULL);
    is_int(reply.error.code, ENOENT, "is not there");
    is_int(ask(KH_BROKER_SNAPSHOT, 9, &err), 0, "a snapshot of it");
    kh_fd_recv(gateway, &reply, sizeof(reply), NULL);
    is_int(reply.error.code, ENOENT, "is not taken");
    is_int(ask(KH_BROKER_SNAPSHOT_REMOVE, 10, &err), 0, "one that is none");
    kh_fd_recv(gateway, &reply, sizeof(reply), NULL);
    is_int(reply.error.code, ENOENT, "is not removed");
    is_int(ask(KH_BROKER_SNAPSHOTS, 11, &err), 0, "the list of them");
    kh_fd_recv(gateway, &reply, sizeof(reply), NULL);
    is_int(reply.error.code, ENOENT, "is empty");
    close(gateway);
    is_int(kh_broker_serve(&broker, &err), -EPIPE, "its end is told");
    gateway = -1;
    end();
}

/* What names a sandbox or a snapshot finds none, and says so in an answer. */
static void
unknown(void)
{
    static const struct {
        uint32_t type;
        const char *what;
    } table[] = {
        {KH_BROKER_START, "START"},       {KH_BROKER_STOP, "STOP"},
        {KH_BROKER_REMOVE, "REMOVE"},     {KH_BROKER_CONNECT, "CONNECT"},
        {KH_BROKER_JOIN, "JOIN"},         {KH_BROKER_FREEZE, "FREEZE"},
        {KH_BROKER_WAKE, "WAKE"},         {KH_BROKER_HIBERNATE, "HIBERNATE"},
        {KH_BROKER_LADDER, "LADDER"},     {KH_BROKER_LIMIT, "LIMIT"},
        {KH_BROKER_SNAPSHOT, "SNAPSHOT"}, {KH_BROKER_SNAPSHOT_REMOVE, "S. REMOVE"},
    };
    struct kh_broker_reply reply;
    struct kh_error err;
    size_t i;

    greet();
    for (i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct kh_broker_request q = request(table[i].type, 100 + i);

        strcpy(q.name, "nobody");
        strcpy(q.other, "nothing");
        kh_fd_send(gateway, &q, sizeof(q), -1);
        is_int(kh_broker_serve(&broker, &err), 0, "%s is served", table[i].what);
        kh_fd_recv(gateway, &reply, sizeof(reply), NULL);
        ok(reply.error.code == ENOENT && reply.serial == 100 + i, "and finds none: %s",
           reply.error.text);
    }
    end();
}

static void
snapshot_names(void)
{
    char name[KH_NAME_SIZE];

    ok(kh_snapshot_name_valid("point", false), "a snapshot is named like a sandbox");
    ok(!kh_snapshot_name_valid("~point", false), "not like a temporary one");
    ok(kh_snapshot_name_valid("~point", true), "which is like that");
    ok(!kh_snapshot_name_valid("point", true), "and not otherwise");
    ok(!kh_snapshot_name_valid("~", true) && !kh_snapshot_name_valid("~~a", true) &&
           !kh_snapshot_name_valid("", true) && !kh_snapshot_name_valid("", false),
       "nothing is no name");
    memset(name, 'a', sizeof(name));
    ok(!kh_snapshot_name_valid(name, false), "nor what has no end");
    name[0] = '~';
    ok(!kh_snapshot_name_valid(name, true), "also of a temporary one");
    name[KH_NAME_SIZE - 1] = '\0';
    ok(kh_snapshot_name_valid(name, true), "the longest one");
}

/* Reads what is there; true when the serials follow each other from *NEXT on. */
static bool
read_replies(uint64_t *next)
{
    struct kh_broker_reply reply;
    bool right = true;

    while (kh_fd_recv(gateway, &reply, sizeof(reply), NULL) == sizeof(reply))
        right = right && reply.serial == (*next)++;
    return right;
}

/* A gateway that reads late gets everything, once and in order. */
static void
late(void)
{
    uint64_t serial = 2, next = 2;
    bool right = true, served = true;
    unsigned most = 0;
    struct kh_error err;
    int round, i;

    greet();
    for (round = 0; round < 20; round++) {
        for (i = 0; i < 200; i++)
            served = served && ask(KH_BROKER_LIST, serial++, &err) == 0;
        most = broker.count > most ? broker.count : most;
        right = right && read_replies(&next);
        served = served && kh_broker_flush(&broker, &err) == 0;
    }
    while (served && right && kh_broker_waits(&broker)) {
        right = read_replies(&next);
        served = kh_broker_flush(&broker, &err) == 0;
    }
    right = right && read_replies(&next);
    ok(served, "every request of one that reads late is served");
    ok(most > 100, "replies waited (%u)", most);
    ok(right && next == serial, "and came in order");
    end();
}

/* One that never reads is ended. */
static void
never(void)
{
    struct kh_error err;
    uint64_t serial = 2;
    int r = 0;

    greet();
    while (r == 0 && serial < 2 * KH_BROKER_QUEUE_MAX)
        r = ask(KH_BROKER_LIST, serial++, &err);
    is_int(r, -ENOBUFS, "one that never reads is refused");
    is_int((int)broker.count, KH_BROKER_QUEUE_MAX, "at the limit");
    end();
}

int
main(void)
{
    malformed();
    phases();
    unknown();
    snapshot_names();
    late();
    never();
    return done();
}
