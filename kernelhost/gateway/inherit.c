#include <stdlib.h>

#include "base/mem.h"
#include "kernelhost/gateway/channels.h"
#include "kernelhost/gateway/recover.h"

/* What the connections of one kernel tell. */
struct heritage {
    uint64_t published; /* the least of those who want everything */
    uint32_t whole, filtered, askers;
};

struct inquiry {
    struct kh_ledger *ledger;
    struct heritage *of; /* by index */
};

static void
on_connection(void *arg, uint32_t fd, const struct kh_ledger_connection *connection)
{
    struct inquiry *inquiry = arg;
    uint32_t index = kh_ledger_tagged_kernel(connection->tag);
    struct kh_ledger_kernel *kernel = kh_ledger_kernel(inquiry->ledger, index);
    enum kh_channel channel = kh_ledger_tagged_channel(connection->tag);
    struct heritage *of;
    uint64_t has;

    (void)fd;
    if (!kernel)
        return;
    of = &inquiry->of[index];
    if (channel == KH_CHANNEL_SHELL || channel == KH_CHANNEL_CONTROL)
        of->askers++;
    if (channel != KH_CHANNEL_IOPUB || !connection->subscribed)
        return;
    has = connection->written > connection->since ? connection->written
                                                  : connection->since;
    if (has < kernel->settled)
        has = kernel->settled;
    if (connection->filtered) {
        of->filtered++;
    } else {
        if (!of->whole++ || has < of->published)
            of->published = has;
    }
}

/* Whether the reply to a request was written: to the connection it came by, or, when
 * that is not known, to the only one that could have got it. */
static bool
was_answered(struct kh_ledger *ledger, const struct kh_ledger_request *request)
{
    uint64_t tag = kh_ledger_tag(request->kernel, (enum kh_channel)request->channel);
    const struct kh_ledger_connection *connection;
    unsigned others = 0, later = 0;
    bool exact = false;
    int fd;

    if (!request->replied || request->sunk)
        return false;
    connection = request->birth ? kh_ledger_connection(ledger, (int)request->fd) : NULL;
    if (connection && connection->birth == request->birth)
        return connection->tag != tag || connection->written >= request->replied;
    for (fd = 0; fd < (int)KH_LEDGER_CONNECTIONS; fd++) {
        connection = kh_ledger_peek(ledger, fd);
        if (!connection || connection->tag != tag)
            continue;
        others++;
        later += connection->written >= request->replied;
        exact = exact || connection->written == request->replied;
    }
    return exact || (others == 1 && later);
}

static void
inherit_requests(struct kh_ledger *ledger, const struct kh_ledger_kernel *kernel)
{
    struct kh_ledger_request *request = NULL;

    while ((request = kh_ledger_next(ledger, kernel, request))) {
        if (!request->answered)
            request->answered = was_answered(ledger, request);
    }
}

static void
inherit_kernel(struct kh_ledger_kernel *kernel, const struct heritage *of)
{
    uint64_t had = kernel->published;

    if (kernel->waiting) { /* the last process did not get far */
        if (of->whole + of->filtered > kernel->subscribers)
            kernel->subscribers = of->whole + of->filtered;
        if (of->askers > kernel->askers)
            kernel->askers = of->askers;
        return;
    }
    kernel->subscribers = of->whole + of->filtered;
    kernel->askers = of->askers;
    if (of->whole)
        kernel->published = of->published;
    else if (of->filtered)
        kernel->published = kernel->settled;
    if (kernel->published > had && had)
        kernel->published = had;
    kernel->waiting = 1;
}

void
kh_recover_inherit(struct kh_ledger *ledger)
{
    struct inquiry inquiry = {.ledger = ledger};
    uint32_t i;

    inquiry.of = kh_xcalloc(KH_LEDGER_KERNELS, sizeof(*inquiry.of));
    kh_ledger_inherit(ledger, on_connection, &inquiry);
    for (i = 0; i < KH_LEDGER_KERNELS; i++) {
        struct kh_ledger_kernel *kernel = kh_ledger_kernel(ledger, i);

        if (!kernel)
            continue;
        inherit_requests(ledger, kernel);
        inherit_kernel(kernel, &inquiry.of[i]);
    }
    kh_ledger_disown(ledger);
    free(inquiry.of);
}
