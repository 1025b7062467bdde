#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "sandbox/host/broker.h"
#include "tests/fuzz/fuzz.h"

/* Takes what the broker answered: each is an answer to a request that was asked. */
static void
take(int sock, const struct kh_broker_request *asked)
{
    struct kh_broker_reply reply;

    while (kh_fd_recv(sock, &reply, sizeof(reply), NULL) > 0)
        MUST(reply.magic == KH_BROKER_MAGIC && reply.serial == asked->serial &&
             reply.type == asked->type &&
             memchr(reply.error.text, 0, sizeof(reply.error.text)));
}

/* Requests of a gateway to a host without images and sandboxes: a HELLO, then pieces
 * of the input. What is malformed ends the gateway. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kh_host host = {.store = {.images = -1, .sandboxes = -1}};
    struct kh_broker_request q = {.magic = KH_BROKER_MAGIC,
                                  .type = KH_BROKER_HELLO,
                                  .serial = 1,
                                  .arg = KH_BROKER_VERSION};
    struct kh_broker broker = {0};
    int pair[2], r;

    kh_log_open("fuzz", KH_LOG_ERROR);
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
    kh_broker_reset(&broker, &host, pair[1]);
    do {
        MUST(kh_fd_send(pair[0], &q, sizeof(q), -1) == 0);
        r = kh_broker_serve(&broker, NULL);
        take(pair[0], &q);
        if (!size)
            break;
        q = (struct kh_broker_request){.magic = KH_BROKER_MAGIC};
        q.type = *data % 40;
        q.serial = 2;
        memcpy(&q.arg, data, size < sizeof(q) - 16 ? size : sizeof(q) - 16);
        data += size < sizeof(q) - 16 ? size : sizeof(q) - 16;
        size -= size < sizeof(q) - 16 ? size : sizeof(q) - 16;
    } while (r == 0);
    kh_broker_release(&broker);
    close(pair[0]);
    close(pair[1]);
    return 0;
}
