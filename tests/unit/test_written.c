/* The send() that libzmq calls: what it notes is what the other end has got, at
 * whatever instruction the process is killed. */
#include "kernelhost/gateway/written.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tap.h"
#include "tests/unit/zmtp.h"

#define KILLS 200
#define FD    50

static char content[3000];

static uint64_t noted;

static void
on_connection(void *arg, uint32_t fd, const struct kh_ledger_connection *connection)
{
    (void)arg;
    if (fd == FD)
        noted = connection->written;
}

/* Sends messages until it is killed. */
static void
talk(int ledger_fd, int sock)
{
    static char out[65536];
    struct kh_ledger *ledger = kh_ledger_open(ledger_fd, NULL);
    uint64_t position = 1;

    if (!ledger || dup2(sock, FD) < 0)
        _exit(1);
    kh_written_begin(ledger, NULL);
    kh_ledger_connection(ledger, FD)->tag = 1;
    send(FD, out, zmtp_greeting(out), 0);
    for (;;) {
        size_t size = 0, at = 0, i;

        for (i = 0; i < 5; i++, position++)
            size += zmtp_message(out + size, position, content,
                                 position * 97 % sizeof(content));
        while (at < size) {
            ssize_t n = send(FD, out + at, size - at, MSG_DONTWAIT);

            if (n > 0)
                at += (size_t)n;
            else if (errno != EAGAIN)
                _exit(1);
        }
    }
}

/* Reads all that came, and returns the position of the last whole message. */
static uint64_t
receive(int sock, struct kh_zmtp *zmtp, uint64_t last)
{
    static char in[100000];
    struct kh_zmtp_end ends[400];
    size_t count;
    ssize_t n = recv(sock, in, sizeof(in), MSG_DONTWAIT);

    if (n <= 0)
        return last;
    kh_zmtp_scan(zmtp, in, (size_t)n, ends, 400, &count);
    return count ? ends[count - 1].position : last;
}

static bool
one_kill(int round)
{
    int ledger_fd = memfd_create("ledger", MFD_CLOEXEC), pair[2], status;
    struct kh_zmtp zmtp = {0};
    struct kh_ledger *ledger;
    uint64_t last = 0, before;
    pid_t pid;
    int i;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return false;
    pid = fork();
    if (pid == 0)
        talk(ledger_fd, pair[0]);
    close(pair[0]);
    for (i = 0; i < 20 + round % 50; i++)
        last = receive(pair[1], &zmtp, last);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    do {
        before = last;
        last = receive(pair[1], &zmtp, last);
    } while (last != before);
    ledger = kh_ledger_open(ledger_fd, NULL);
    noted = 0;
    kh_ledger_inherit(ledger, on_connection, NULL);
    if (noted != last)
        printf("# round %d: noted %llu, got %llu\n", round, (unsigned long long)noted,
               (unsigned long long)last);
    kh_ledger_free(ledger);
    close(ledger_fd);
    close(pair[1]);
    return noted == last;
}

static void
other_connections(void)
{
    struct kh_ledger *ledger = kh_ledger_open(-1, NULL);
    char in[100];
    int pair[2];

    kh_written_begin(ledger, NULL);
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "a connection");
    is_int(send(pair[0], "HTTP/1.1 200 OK", 15, 0), 15, "what is no ZMTP is sent");
    is_int(recv(pair[1], in, sizeof(in), 0), 15, "and arrives");
    ok(!kh_ledger_peek(ledger, pair[0]), "and is not noted");
    close(pair[1]);
    ok(send(pair[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "errors are errors");
    close(pair[0]);
    kh_written_begin(NULL, NULL);
    kh_ledger_free(ledger);
}

int
main(void)
{
    int round, good = 0;

    other_connections();
    for (round = 0; round < KILLS; round++)
        good += one_kill(round);
    is_int(good, KILLS, "killed at any moment, it has noted what has arrived");
    return done();
}
