#include "sandbox/init/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/fd.h"
#include "base/mem.h"
#include "protocol/link/init.h"
#include "protocol/link/runner.h"
#include "sandbox/init/feed.h"
#include "sandbox/init/kind.h"
#include "sandbox/init/loop.h"
#include "sandbox/init/session.h"
#include "sandbox/init/spawn.h"

#define READ_SIZE       (64u * 1024)
#define TURN_SIZE       (64u * 1024)
#define COULD_NOT_START 0x7f00

struct pipe_end {
    struct kh_source source;
    size_t left; /* bytes still to be read; SIZE_MAX until it is limited */
};

struct exec {
    bool used;
    uint64_t id;
    pid_t pid;
    bool ended;
    int status;
    int error_fd;
    struct kh_error why;
    struct kh_feed in;
    struct pipe_end out[2]; /* stdout, stderr */
    struct kh_buf frames;   /* for the gateway */
    uint64_t produced;      /* output bytes put into frames */
    uint64_t collected;     /* of these, taken by the connection */
    uint64_t consumed;      /* acknowledged */
    bool told;              /* EXEC_EXIT is in frames */
    uint64_t linger;        /* when open pipes are not waited for; KH_NEVER */
};

/* Slots stay allocated: see loop.h. */
static struct exec *table[KH_EXECS_MAX];
static bool attached;

static void advance(struct exec *exec);

static struct exec *
find(uint64_t id)
{
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++)
        if (table[i] && table[i]->used && table[i]->id == id)
            return table[i];
    return NULL;
}

static void
release(struct exec *exec)
{
    kh_feed_close(&exec->in);
    kh_source_close(&exec->out[0].source);
    kh_source_close(&exec->out[1].source);
    kh_fd_close(&exec->error_fd);
    kh_buf_release(&exec->frames);
    exec->used = false;
}

/* ---- output ---- */

static uint64_t
credit(const struct exec *exec)
{
    uint64_t ahead = exec->produced - exec->consumed;

    return ahead < KH_EXEC_WINDOW ? KH_EXEC_WINDOW - ahead : 0;
}

static void
put_output(struct exec *exec, enum kh_stream stream, const char *p, size_t size)
{
    struct kh_frame frame = {.type = KH_INIT_EXEC_OUTPUT,
                             .flags = stream,
                             .id = exec->id,
                             .count = 1,
                             .slice = {{p, size}}};

    kh_frame_encode(&frame, &exec->frames, NULL);
    exec->produced += size;
}

/* One read. False when there was nothing to read, or no credit. */
static bool
read_output(struct exec *exec, int i)
{
    static char space[READ_SIZE];
    struct pipe_end *end = &exec->out[i];
    size_t want = sizeof(space);
    ssize_t n;

    want = want < end->left ? want : end->left;
    want = want < credit(exec) ? want : (size_t)credit(exec);
    if (!want || end->source.fd < 0)
        return false;
    n = read(end->source.fd, space, want);
    if (n > 0) {
        put_output(exec, i ? KH_STREAM_STDERR : KH_STREAM_STDOUT, space, (size_t)n);
        if (end->left != SIZE_MAX)
            end->left -= (size_t)n;
        return true;
    }
    if (n == 0 || end->left != SIZE_MAX || (errno != EAGAIN && errno != EINTR))
        end->left = 0;
    return false;
}

static void
output_ready(struct kh_source *source, uint32_t events)
{
    struct exec *exec = source->owner;

    (void)events;
    read_output(exec, source == &exec->out[1].source);
    advance(exec);
}

/* After the linger time only what the pipes hold at that moment is waited for. */
static void
limit_output(struct pipe_end *end)
{
    int n = 0;

    if (!end->left)
        return;
    if (ioctl(end->source.fd, FIONREAD, &n) < 0 || n < 0)
        n = 0;
    end->left = (size_t)n;
}

static void
put_exit(struct exec *exec)
{
    struct kh_frame frame = {.type = KH_INIT_EXEC_EXIT,
                             .id = exec->id,
                             .seq = (uint64_t)(unsigned)exec->status};

    if (kh_spawn_failed(exec->error_fd, &exec->why))
        frame.seq = COULD_NOT_START;
    if (exec->why.code) {
        frame.count = 1;
        frame.slice[0] = kh_slice_text(exec->why.text);
    }
    kh_frame_encode(&frame, &exec->frames, NULL);
    exec->told = true;
}

/* Does what the state of the pipes and the credit allow. */
static void
advance(struct exec *exec)
{
    int i;

    for (i = 0; i < 2; i++) {
        struct pipe_end *end = &exec->out[i];

        if (exec->ended)
            while (read_output(exec, i))
                continue;
        if (!end->left)
            kh_source_close(&end->source);
        kh_source_watch(&end->source, credit(exec) ? EPOLLIN : 0);
    }
    if (exec->ended && !exec->told && !exec->out[0].left && !exec->out[1].left)
        put_exit(exec);
    if (exec->told && !attached)
        release(exec);
}

/* ---- start ---- */

static struct exec *
free_slot(void)
{
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++) {
        if (!table[i])
            table[i] = kh_xcalloc(1, sizeof(*table[i]));
        if (!table[i]->used)
            return table[i];
    }
    return NULL;
}

static struct exec *
make(uint64_t id)
{
    struct exec *exec = free_slot();

    if (!exec)
        return NULL;
    *exec = (struct exec){.used = true, .id = id, .error_fd = -1, .linger = KH_NEVER};
    exec->in.source.fd = exec->out[0].source.fd = exec->out[1].source.fd = -1;
    return exec;
}

/* Pipes: ours at the first index of each pair, the process's at the second. */
static int
make_pipes(int ends[3][2], struct kh_error *err)
{
    int i, both[2];

    for (i = 0; i < 3; i++) {
        if (pipe2(both, O_CLOEXEC) < 0)
            return kh_fail_errno(err, "cannot make pipes for a process");
        ends[i][0] = both[i == 0];
        ends[i][1] = both[i != 0];
        kh_fd_nonblock(ends[i][0], true);
    }
    return 0;
}

static void
run(struct exec *exec, struct kh_spawn *plan)
{
    int ends[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    int i;

    if (make_pipes(ends, &exec->why) == 0) {
        for (i = 0; i < 3; i++)
            plan->fd[i] = ends[i][1];
        plan->fd[3] = -1;
        kh_spawn(plan, &exec->pid, &exec->error_fd, &exec->why);
    }
    for (i = 0; i < 3; i++)
        kh_fd_close(&ends[i][1]);
    if (!exec->pid) {
        for (i = 0; i < 3; i++)
            kh_fd_close(&ends[i][0]);
        exec->ended = true;
        exec->status = COULD_NOT_START;
        return;
    }
    kh_feed_open(&exec->in, ends[0][0]);
    for (i = 0; i < 2; i++) {
        kh_source_open(&exec->out[i].source, ends[i + 1][0], output_ready, exec);
        exec->out[i].left = SIZE_MAX;
    }
}

int
kh_exec_start(const struct kh_frame *frame, struct kh_error *err)
{
    struct kh_spawn plan = {.keep_user = kh_kind_keep_user()};
    AUTO_FREE char **argv = NULL;
    AUTO_FREE char **extra = NULL;
    AUTO_FREE char **env = NULL;
    AUTO_FREE char *cwd = NULL;
    struct exec *exec;

    if (find(frame->id))
        return kh_fail(err, EEXIST, "there is already a process with this id");
    if (kh_spawn_strings(frame->slice[0], &argv, err) < 0 ||
        kh_spawn_strings(frame->slice[1], &extra, err) < 0 ||
        kh_spawn_env(NULL, extra, &env, err) < 0 ||
        kh_kind_cwd(frame->slice[2], &cwd, err) < 0)
        return -err->code;
    if (!argv[0] || !*argv[0])
        return kh_fail(err, EINVAL, "there is no command to run");
    exec = make(frame->id);
    if (!exec)
        return kh_fail(err, EAGAIN, "too many processes (limit: %u)", KH_EXECS_MAX);
    plan.argv = argv;
    plan.env = env;
    plan.cwd = cwd;
    run(exec, &plan);
    advance(exec);
    return 0;
}

int
kh_exec_input(const struct kh_frame *frame, struct kh_error *err)
{
    struct exec *exec = find(frame->id);

    if (!exec)
        return kh_fail(err, ESRCH, "there is no such process");
    if (frame->count)
        return kh_feed_add(&exec->in, frame->slice[0].data, frame->slice[0].size, err);
    kh_feed_end(&exec->in);
    return 0;
}

int
kh_exec_signal(const struct kh_frame *frame, struct kh_error *err)
{
    struct exec *exec = find(frame->id);

    if (!exec || exec->ended)
        return kh_fail(err, ESRCH, "there is no such process");
    if (!frame->flags || frame->flags >= NSIG)
        return kh_fail(err, EINVAL, "there is no signal %u", frame->flags);
    /* The group does not exist before the child has come as far as setsid. */
    if (kill(-exec->pid, frame->flags) < 0 && kill(exec->pid, frame->flags) < 0)
        return kh_fail_errno(err, "cannot signal the process");
    return 0;
}

/* ---- the gateway ---- */

void
kh_exec_ack(uint64_t id, uint64_t consumed)
{
    struct exec *exec = find(id);

    if (!exec || consumed <= exec->consumed)
        return;
    exec->consumed = consumed < exec->collected ? consumed : exec->collected;
    advance(exec);
}

/* Moves whole frames, until TURN_SIZE is reached. */
static void
move_frames(struct exec *exec, struct kh_buf *out)
{
    size_t moved = 0;

    while (kh_buf_len(&exec->frames) && moved < TURN_SIZE) {
        struct kh_frame frame;
        long n = kh_frame_decode(kh_buf_ptr(&exec->frames), kh_buf_len(&exec->frames),
                                 &frame, NULL);

        if (n <= 0)
            abort(); /* we wrote it */
        if (frame.type == KH_INIT_EXEC_OUTPUT)
            exec->collected += frame.slice[0].size;
        kh_buf_add(out, kh_buf_ptr(&exec->frames), (size_t)n);
        kh_buf_consume(&exec->frames, (size_t)n);
        moved += (size_t)n;
    }
}

void
kh_exec_collect(struct kh_buf *out)
{
    static size_t last;
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++) {
        struct exec *exec;

        last = (last + 1) % KH_COUNT(table);
        exec = table[last];
        if (!exec || !exec->used || !kh_buf_len(&exec->frames))
            continue;
        move_frames(exec, out);
        if (exec->told && !kh_buf_len(&exec->frames))
            release(exec);
        return;
    }
}

void
kh_exec_attach(bool connected)
{
    size_t i;

    attached = connected;
    for (i = 0; i < KH_COUNT(table); i++) {
        if (!table[i] || !table[i]->used)
            continue;
        table[i]->consumed = table[i]->collected;
        advance(table[i]);
    }
}

bool
kh_exec_ended(pid_t pid, int status)
{
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++) {
        struct exec *exec = table[i];

        if (!exec || !exec->used || exec->ended || exec->pid != pid)
            continue;
        exec->ended = true;
        exec->status = status;
        exec->linger = kh_now() + KH_EXEC_LINGER;
        kh_feed_close(&exec->in);
        advance(exec);
        return true;
    }
    return false;
}

uint64_t
kh_exec_due(void)
{
    uint64_t due = KH_NEVER;
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++)
        if (table[i] && table[i]->used && table[i]->linger < due)
            due = table[i]->linger;
    return due;
}

void
kh_exec_tick(uint64_t now)
{
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++) {
        struct exec *exec = table[i];

        if (!exec || !exec->used || exec->linger > now)
            continue;
        exec->linger = KH_NEVER;
        limit_output(&exec->out[0]);
        limit_output(&exec->out[1]);
        advance(exec);
    }
}

void
kh_exec_kill_all(void)
{
    size_t i;

    for (i = 0; i < KH_COUNT(table); i++)
        if (table[i] && table[i]->used && table[i]->pid)
            kh_session_kill(table[i]->pid, table[i]->ended);
}
