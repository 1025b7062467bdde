#include "sandbox/init/queue.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/clean.h"
#include "base/fd.h"
#include "protocol/link/init.h"
#include "protocol/link/runner.h"
#include "tests/tap.h"

/* ---- the table ---- */

static struct kh_queue_step paper[KH_QUEUE_STATES][KH_QUEUE_EVENTS];

static int
index_of(const char *const *names, int count, const char *name)
{
    int i;

    for (i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

/* Rows of doc/PROTOCOL.init: state, event, next, action. Returns how many. */
static int
read_paper(void)
{
    const char *dir = getenv("KH_SRCDIR");
    AUTO_FREE char *text = NULL;
    char path[4096], *line, *rest;
    int rows = 0, s, e, n, a;
    struct kh_error err;

    snprintf(path, sizeof(path), "%s/doc/PROTOCOL.init", dir ? dir : ".");
    if (kh_fd_read_file(AT_FDCWD, path, 1 << 20, &text, NULL, &err) < 0) {
        printf("# %s\n", err.text);
        return 0;
    }
    for (s = 0; s < KH_QUEUE_STATES; s++)
        for (e = 0; e < KH_QUEUE_EVENTS; e++)
            paper[s][e].next = (enum kh_queue_state)s;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char w[4][16], more;

        if (sscanf(line, " %15s %15s %15s %15s %c", w[0], w[1], w[2], w[3], &more) != 4)
            continue;
        s = index_of(kh_queue_state_names, KH_QUEUE_STATES, w[0]);
        e = index_of(kh_queue_event_names, KH_QUEUE_EVENTS, w[1]);
        n = index_of(kh_queue_state_names, KH_QUEUE_STATES, w[2]);
        a = index_of(kh_queue_action_names, KH_QUEUE_ACTIONS, w[3]);
        if (s < 0 || e < 0 || n < 0 || a < 0)
            continue;
        paper[s][e].next = (enum kh_queue_state)n;
        paper[s][e].action = (enum kh_queue_action)a;
        rows++;
    }
    return rows;
}

/* Actions that hand something to a runner, and so need one that listens. */
static bool
needs_runner(enum kh_queue_action action)
{
    return action == KH_QUEUE_DO_PASS || action == KH_QUEUE_DO_HAND ||
           action == KH_QUEUE_DO_ANNOUNCE || action == KH_QUEUE_DO_SIGNAL;
}

static void
check_pair(int s, int e)
{
    struct kh_queue_step step = kh_queue_table[s][e];
    bool moved = (int)step.next != s;

    ok(step.next == paper[s][e].next && step.action == paper[s][e].action,
       "%s, %s: %s, %s as the paper says", kh_queue_state_names[s],
       kh_queue_event_names[e], kh_queue_state_names[step.next],
       kh_queue_action_names[step.action]);
    if ((step.action == KH_QUEUE_DO_REFUSE && (moved || e > KH_QUEUE_INTERRUPT)) ||
        (s == KH_QUEUE_NONE && moved && e != KH_QUEUE_START) ||
        (step.next == KH_QUEUE_BUSY && moved && e != KH_QUEUE_NEXT &&
         s != KH_QUEUE_RETURNING) ||
        (step.next == KH_QUEUE_RETURNING && moved && s != KH_QUEUE_ROLLING) ||
        (step.action == KH_QUEUE_DO_ROLL && s != KH_QUEUE_BUSY) ||
        (e == KH_QUEUE_NEXT && moved && s != KH_QUEUE_IDLE) ||
        (step.next == KH_QUEUE_DEAD && moved && e != KH_QUEUE_DRAINED) ||
        (needs_runner(step.action) && s != KH_QUEUE_STARTING && s != KH_QUEUE_IDLE &&
         s != KH_QUEUE_BUSY))
        ok(false, "%s, %s breaks a rule", kh_queue_state_names[s],
           kh_queue_event_names[e]);
}

static void
table(void)
{
    int s, e, reached[KH_QUEUE_STATES] = {1}, alive, round;

    ok(read_paper() > 60, "the paper has a table");
    for (s = 0; s < KH_QUEUE_STATES; s++)
        for (e = 0; e < KH_QUEUE_EVENTS; e++)
            check_pair(s, e);
    for (round = 0; round < KH_QUEUE_STATES; round++)
        for (s = 0; s < KH_QUEUE_STATES; s++)
            for (e = 0; e < KH_QUEUE_EVENTS; e++)
                if (reached[s])
                    reached[kh_queue_table[s][e].next] = 1;
    for (s = 0; s < KH_QUEUE_STATES; s++)
        ok(reached[s], "state %s can be reached", kh_queue_state_names[s]);
    for (s = KH_QUEUE_STARTING; s < KH_QUEUE_DEAD; s++) {
        alive = kh_queue_table[s][KH_QUEUE_ENDED].action == KH_QUEUE_DO_DRAIN;
        ok(alive, "the end of the runner is seen in state %s", kh_queue_state_names[s]);
    }
}

/* ---- the requests ---- */

static void
add(struct kh_queue *queue, uint64_t id, uint16_t flags, size_t size)
{
    struct kh_buf frame = KH_BUF_INIT;

    kh_buf_reserve(&frame, size);
    memset(frame.data, 'x', size);
    kh_buf_wrote(&frame, size);
    kh_queue_add(queue, id, flags, &frame);
}

static uint64_t
hand(struct kh_queue *queue, bool control)
{
    struct kh_request *request = kh_queue_hand(queue, control);

    return request ? request->id : 0;
}

static uint64_t
take(struct kh_queue *queue, enum kh_queue_which which)
{
    struct kh_request *request = kh_queue_take(queue, which);
    uint64_t id = request ? request->id : 0;

    kh_request_free(request);
    return id;
}

static void
requests(void)
{
    struct kh_queue queue = {0};

    add(&queue, 1, KH_REQUEST_CONTROL, 10);
    ok(!kh_queue_waits(&queue), "a control request is no shell request");
    add(&queue, 2, KH_REQUEST_EXECUTE, 10);
    add(&queue, 3, KH_REQUEST_CONTROL, 10);
    add(&queue, 4, 0, 10);
    ok(kh_queue_waits(&queue), "shell requests wait");
    is_int(hand(&queue, false), 2, "the first shell request goes first");
    is_int(queue.running, 2, "and runs");
    is_int(hand(&queue, true), 1, "then the first control request");
    is_int(hand(&queue, true), 3, "and the next");
    is_int(hand(&queue, true), 0, "and no more");
    is_int(queue.running, 2, "which does not change what runs");
    ok(kh_queue_find(&queue, 3) && !kh_queue_find(&queue, 4),
       "those handed over are found");
    is_int(queue.count, 4, "all count");
    kh_queue_done(&queue, 3);
    kh_queue_done(&queue, 3);
    kh_queue_done(&queue, 99);
    is_int(queue.count, 3, "until they are done, once");
    kh_queue_done(&queue, 2);
    is_int(queue.running, 0, "nothing runs then");
    add(&queue, 5, 0, 10);
    is_int(hand(&queue, false), 4, "the order is kept");
    is_int(take(&queue, KH_QUEUE_HANDED), 1, "the oldest handed over is taken first");
    is_int(take(&queue, KH_QUEUE_HANDED), 4, "then the next");
    is_int(take(&queue, KH_QUEUE_HANDED), 0, "then none");
    is_int(take(&queue, KH_QUEUE_WAITING), 5, "those that wait as well");
    add(&queue, 6, 0, 10);
    is_int(hand(&queue, false), 6, "an emptied queue works on");
    ok(queue.last == 6 && queue.count == 1 && queue.bytes == 10, "and counts right");
    kh_queue_release(&queue);
    ok(!queue.count && !queue.bytes && !queue.last, "release empties it");
}

static void
aborts(void)
{
    struct kh_queue queue = {0};

    add(&queue, 1, 0, 1);
    add(&queue, 2, KH_REQUEST_EXECUTE, 1);
    add(&queue, 3, KH_REQUEST_EXECUTE | KH_REQUEST_CONTROL, 1);
    add(&queue, 4, KH_REQUEST_EXECUTE | KH_REQUEST_STOP_ON_ERROR, 1);
    kh_queue_abort(&queue);
    add(&queue, 5, KH_REQUEST_EXECUTE, 1);
    is_int(take(&queue, KH_QUEUE_ABORTED), 2, "a waiting execute request is aborted");
    is_int(take(&queue, KH_QUEUE_ABORTED), 4, "and the next");
    is_int(take(&queue, KH_QUEUE_ABORTED), 0, "but not one that comes later");
    is_int(hand(&queue, false), 1, "others stay");
    is_int(hand(&queue, false), 5, "in their order");
    is_int(hand(&queue, true), 3, "control requests too");
    kh_queue_release(&queue);
}

static void
bounds(void)
{
    struct kh_queue queue = {0};
    uint64_t i;

    for (i = 1; kh_queue_room(&queue, 100) && i < 20000; i++)
        add(&queue, i, 0, 100);
    is_int(queue.count, KH_QUEUE_MAX, "requests are bounded by number");
    kh_queue_release(&queue);
    queue.bytes = KH_QUEUE_BYTES - 100;
    ok(kh_queue_room(&queue, 100) && !kh_queue_room(&queue, 101),
       "requests are bounded by bytes");
    ok(!kh_queue_room(&queue, SIZE_MAX), "whatever the size");
}

int
main(void)
{
    table();
    requests();
    aborts();
    bounds();
    return done();
}
