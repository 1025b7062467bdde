#include "sandbox/init/conn.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "protocol/link/init.h"
#include "sandbox/init/exec.h"
#include "sandbox/init/kernels.h"
#include "sandbox/init/loop.h"
#include "sandbox/init/request.h"

#define READ_SIZE   (64u * 1024)
#define OUT_LOW     (256u * 1024)  /* fetch more below this */
#define ANSWERS_MAX (1024u * 1024) /* read no requests above this */
#define AT_ONCE     4              /* times output alone is sent in one millisecond */
#define PART_MS     1000           /* that it waits for a fork before it hibernates */
#define WAITS_MAX   (64u * 1024)   /* bytes of it that may wait for the next */

struct cursor {
    bool attached;
    uint64_t sent; /* number of the last entry that was fetched */
};

static struct {
    struct kh_source source;
    bool greeted;
    struct kh_buf rx;
    struct kh_buf answers;  /* whole frames */
    struct kh_buf out;      /* bytes on their way */
    struct kh_entry *entry; /* is being moved into out; NULL at a boundary */
    size_t moved;           /* bytes of it */
    uint32_t turn;          /* kernel that was served last */
    bool hurry;             /* there is more to send than output */
    size_t waits;           /* bytes of output that came since the last time */
    uint64_t window, due;   /* the millisecond that SENT counts for; when to go on */
    unsigned sent;
    uint64_t parting; /* when it is closed at the latest; KH_NEVER: it stays */
    struct cursor cursor[KH_KERNELS_MAX + 1];
} conn = {.source = {.fd = -1}, .due = KH_NEVER, .parting = KH_NEVER};

static void
drop(void)
{
    if (conn.source.fd < 0)
        return;
    kh_source_close(&conn.source);
    kh_buf_release(&conn.rx);
    kh_buf_release(&conn.answers);
    kh_buf_release(&conn.out);
    kh_entry_unref(conn.entry);
    conn.entry = NULL;
    conn.greeted = false;
    conn.parting = KH_NEVER;
    memset(conn.cursor, 0, sizeof(conn.cursor));
    kh_exec_attach(false);
}

/* ---- out ---- */

/* The next entry to send, of the kernels in turn. */
static struct kh_entry *
next_entry(void)
{
    uint32_t i, number = conn.turn;

    for (i = 0; i < KH_KERNELS_MAX; i++) {
        struct cursor *cursor;
        struct kh_entry *entry;

        number = number % KH_KERNELS_MAX + 1;
        cursor = &conn.cursor[number];
        if (!cursor->attached)
            continue;
        entry = kh_journal_after(&kh_kernels_slot(number)->journal, cursor->sent);
        if (!entry)
            continue;
        cursor->sent = entry->seq;
        conn.turn = number;
        return kh_entry_ref(entry);
    }
    return NULL;
}

/* A large entry is moved in pieces, so that it is not held twice. */
static void
move_entry(void)
{
    size_t rest = kh_buf_len(&conn.entry->frame) - conn.moved;
    size_t size = rest < OUT_LOW ? rest : OUT_LOW;

    kh_buf_add(&conn.out, kh_buf_ptr(&conn.entry->frame) + conn.moved, size);
    conn.moved += size;
    if (size < rest)
        return;
    kh_entry_unref(conn.entry);
    conn.entry = NULL;
}

static void
fetch(void)
{
    size_t before = SIZE_MAX;

    while (kh_buf_len(&conn.out) < OUT_LOW && kh_buf_len(&conn.out) != before) {
        before = kh_buf_len(&conn.out);
        if (!conn.entry && kh_buf_len(&conn.answers)) {
            kh_buf_add(&conn.out, kh_buf_ptr(&conn.answers), kh_buf_len(&conn.answers));
            kh_buf_release(&conn.answers);
        }
        if (!conn.entry && conn.greeted) {
            kh_exec_collect(&conn.out);
            conn.entry = next_entry();
            conn.moved = 0;
        }
        if (conn.entry)
            move_entry();
    }
}

static bool
send_out(void)
{
    ssize_t n = send(conn.source.fd, kh_buf_ptr(&conn.out), kh_buf_len(&conn.out),
                     MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n > 0)
        kh_buf_consume(&conn.out, (size_t)n);
    else if (errno != EAGAIN && errno != EINTR)
        drop();
    return n > 0;
}

static bool
may_read(void)
{
    return kh_buf_len(&conn.answers) < ANSWERS_MAX;
}

static void take_frames(void);

/* A loop that displays and displays would wake the gateway each time, and it us by
 * its acknowledgement: only some go alone, the others together. */
static bool
rests(void)
{
    uint64_t now;

    conn.due = KH_NEVER;
    if (conn.source.fd < 0 || conn.hurry || !conn.waits || conn.waits > WAITS_MAX ||
        conn.entry || kh_buf_len(&conn.out))
        return false;
    now = kh_now();
    if (now != conn.window) {
        conn.window = now;
        conn.sent = 0;
    }
    if (conn.sent++ < AT_ONCE)
        return false;
    conn.due = now + 1;
    return true;
}

void
kh_conn_flush(void)
{
    bool more = true;

    if (conn.parting != KH_NEVER && (!kh_kernels_fork() || conn.parting <= kh_now()))
        drop();
    if (rests())
        return;
    conn.hurry = false;
    conn.waits = 0;
    while (conn.source.fd >= 0 && more) {
        fetch();
        more = kh_buf_len(&conn.out) && send_out();
        /* Requests that were held back while too many answers waited. */
        if (more && kh_buf_len(&conn.rx))
            take_frames();
    }
    if (conn.source.fd >= 0)
        kh_source_watch(&conn.source, (may_read() ? EPOLLIN : 0) |
                                          (kh_buf_len(&conn.out) ? EPOLLOUT : 0));
}

/* ---- in ---- */

static void
take_frames(void)
{
    struct kh_frame frame;
    long n = 1;

    while (conn.source.fd >= 0 && n > 0 && may_read()) {
        n = kh_frame_decode(kh_buf_ptr(&conn.rx), kh_buf_len(&conn.rx), &frame, NULL);
        if (n > 0 && !conn.greeted && frame.type != KH_INIT_HELLO)
            n = -EBADMSG;
        if (n > 0 && kh_request_handle(&frame) < 0)
            n = -EBADMSG;
        if (n > 0)
            kh_buf_consume(&conn.rx, (size_t)n);
        if (n < 0)
            drop();
    }
}

static void
conn_ready(struct kh_source *source, uint32_t events)
{
    ssize_t n;

    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || !may_read())
        return; /* kh_conn_flush sends */
    /* read(2), not recvmsg: descriptors that came along are closed by the kernel. */
    n = read(source->fd, kh_buf_reserve(&conn.rx, READ_SIZE), READ_SIZE);
    if (n > 0) {
        kh_buf_wrote(&conn.rx, (size_t)n);
        take_frames();
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        drop();
    }
}

void
kh_conn_open(int fd)
{
    drop();
    kh_source_open(&conn.source, fd, conn_ready, NULL);
    kh_source_watch(&conn.source, EPOLLIN);
}

/* ---- for the handlers ---- */

void
kh_conn_answer(const struct kh_frame *frame)
{
    kh_frame_encode(frame, &conn.answers, NULL);
    conn.hurry = true;
}

void
kh_conn_news(size_t output)
{
    if (output)
        conn.waits += output;
    else
        conn.hurry = true;
}

uint64_t
kh_conn_due(void)
{
    return conn.due < conn.parting ? conn.due : conn.parting;
}

void
kh_conn_part(void)
{
    conn.parting = kh_now() + PART_MS;
}

bool
kh_conn_stays(void)
{
    return conn.source.fd >= 0 && conn.parting == KH_NEVER;
}

void
kh_conn_attach(uint32_t kernel, uint64_t seq)
{
    conn.cursor[kernel] = (struct cursor){.attached = true, .sent = seq};
    conn.hurry = true;
}

void
kh_conn_greeted(void)
{
    conn.greeted = conn.hurry = true;
    kh_exec_attach(true);
}
