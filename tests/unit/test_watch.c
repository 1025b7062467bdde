/* What kernelhostd waits with: watches, processes, and its sandboxes in order. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/link/broker.h"
#include "sandbox/host/box.h"
#include "sandbox/host/boxes.h"
#include "sandbox/host/process.h"
#include "sandbox/host/sys.h"
#include "sandbox/host/watch.h"
#include "tests/tap.h"

static int called[2], ended_count, ended_status;
static struct kh_watch watches[2];

/* Whoever is called takes the other one away, too. */
static void
remove_both(struct kh_watch *watch, uint32_t events)
{
    called[watch - watches] += (events & EPOLLIN) != 0;
    kh_watch_remove(&watches[0]);
    kh_watch_remove(&watches[1]);
}

static void
watching(void)
{
    int pair[2], i, r = 0;

    if (pipe(pair) < 0 || write(pair[1], "x", 1) != 1)
        exit(1);
    is_int(kh_watch_wait(0), 0, "nothing is ready in an empty set");
    for (i = 0; i < 2; i++)
        r |= kh_watch_add(&watches[i], i ? dup(pair[0]) : pair[0], EPOLLIN, remove_both,
                          NULL, NULL);
    is_int(r, 0, "two descriptors are watched");
    is_int(kh_watch_wait(1000), 1, "one of them is called");
    is_int(kh_watch_wait(0), 0, "the other, which it removed, is not");
    is_int(called[0] + called[1], 1, "so one call was made");
    kh_watch_remove(&watches[0]);
    is_int(kh_watch_add(&watches[0], pair[0], EPOLLOUT, remove_both, NULL, NULL), 0,
           "it is watched again, for what does not happen");
    is_int(kh_watch_wait(0), 0, "which does not happen");
    kh_watch_change(&watches[0], EPOLLIN);
    is_int(kh_watch_wait(0), 1, "until that is changed");
    ok(kh_watch_add(&watches[0], -1, EPOLLIN, remove_both, NULL, NULL) < 0,
       "no descriptor is refused");
    close(pair[0]);
    close(pair[1]);
}

static void
on_end(struct kh_process *process, int status)
{
    ended_count++;
    ended_status = status;
    if (process->pid || process->pidfd >= 0)
        ended_count += 100; /* it must be none by now */
}

static pid_t
child(struct kh_process *process, int status)
{
    pid_t pid = fork();

    if (pid == 0) {
        if (status >= 0)
            _exit(status);
        for (;;)
            pause();
    }
    if (kh_process_watch(process, pid, kh_sys_pidfd_open(pid), on_end, NULL, NULL) < 0)
        exit(1);
    return pid;
}

static void
processes(void)
{
    struct kh_process one = KH_PROCESS_NONE, two = KH_PROCESS_NONE;
    pid_t pid, grandchild;
    int pair[2];

    ok(!kh_process_exists(&one), "no process does not exist");
    kh_process_kill(&one, SIGKILL);
    child(&one, 7);
    child(&two, -1);
    is_int(kh_watch_wait(5000), 1, "a child ends");
    ok(ended_count == 1 && WIFEXITED(ended_status) && WEXITSTATUS(ended_status) == 7,
       "with its status");
    ok(kh_process_exists(&two), "the other exists");
    kh_process_kill(&two, SIGKILL);
    is_int(kh_watch_wait(5000), 1, "until it is killed");
    ok(ended_count == 2 && WIFSIGNALED(ended_status) &&
           WTERMSIG(ended_status) == SIGKILL,
       "and the signal is told");
    ok(!kh_process_exists(&two), "then it is gone");

    pid = child(&one, 0);
    two.pid = fork();
    if (two.pid == 0)
        _exit(0);
    while (waitid(P_PID, (id_t)two.pid, &(siginfo_t){0}, WEXITED | WNOWAIT) < 0)
        ;
    is_int(kh_watch_wait(5000), 1,
           "one that is waited for ends beside one that is not");
    ok(waitpid(two.pid, NULL, WNOHANG) < 0 && waitpid(pid, NULL, WNOHANG) < 0,
       "both are reaped");
    is_int(ended_count, 3, "one end is told");

    /* A process that is no child: a grandchild whose parent has ended. */
    if (pipe(pair) < 0)
        exit(1);
    two.pid = fork();
    if (two.pid == 0) {
        grandchild = fork();
        if (grandchild == 0) {
            close(pair[0]);
            sleep(1);
            _exit(0);
        }
        _exit(write(pair[1], &grandchild, sizeof(grandchild)) != sizeof(grandchild));
    }
    if (read(pair[0], &grandchild, sizeof(grandchild)) != sizeof(grandchild))
        exit(1);
    is_int(kh_process_watch(&one, grandchild, kh_sys_pidfd_open(grandchild), on_end,
                            NULL, NULL),
           0, "another's child is waited for");
    waitpid(two.pid, NULL, 0);
    is_int(kh_watch_wait(10000), 1, "and ends");
    ok(ended_count == 4 && ended_status == KH_STATUS_UNKNOWN,
       "with a status that nobody knows");
    ok(!WIFEXITED(KH_STATUS_UNKNOWN) && !WIFSIGNALED(KH_STATUS_UNKNOWN),
       "which is no status");
}

static struct kh_box *
box(struct kh_boxes *boxes, const char *name)
{
    struct kh_box *new = calloc(1, sizeof(*new));

    snprintf(new->record.name, sizeof(new->record.name), "%s", name);
    kh_boxes_add(boxes, new);
    return new;
}

static void
many(void)
{
    struct kh_boxes boxes = {0};
    struct kh_box *at;
    char name[16];
    int i, seen = 0, wrong = 0;

    ok(!kh_boxes_find(&boxes, "a") && !kh_boxes_after(&boxes, 0), "none at first");
    for (i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "n%d", i * 7919 % 5000);
        box(&boxes, name);
    }
    for (i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        at = kh_boxes_find(&boxes, name);
        wrong += !at || strcmp(at->record.name, name) != 0;
    }
    is_int(wrong, 0, "each of 5,000 is found by its name");
    ok(!kh_boxes_find(&boxes, "n5000"), "another is not");
    /* Every third is removed by whoever walks, when it has seen it. */
    for (at = kh_boxes_after(&boxes, 0); at; seen++) {
        uint64_t number = at->number;

        if (seen % 3 == 0) {
            kh_boxes_remove(&boxes, at);
            free(at);
        }
        at = kh_boxes_after(&boxes, number);
    }
    is_int(seen, 5000, "a walk with removals on its way misses none");
    is_int(boxes.count, 5000 - 1667, "the removed ones are gone");
    while (boxes.count) {
        at = boxes.at[boxes.count / 2];
        kh_boxes_remove(&boxes, at);
        wrong += kh_boxes_find(&boxes, at->record.name) != NULL;
        free(at);
    }
    is_int(wrong, 0, "nor found when removed");
    kh_boxes_release(&boxes);
}

int
main(void)
{
    is_int(kh_watch_open(NULL), 0, "the set is made");
    watching();
    processes();
    many();
    return done();
}
