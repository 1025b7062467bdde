/* Who is woken when: the queue of those that wait, with a host that has no room. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/host/box_own.h"
#include "sandbox/host/cgroup_own.h"
#include "sandbox/host/wake_own.h"
#include "sandbox/host/watch.h"
#include "sandbox/host/weigh.h"
#include "tests/tap.h"

#define BOXES 3
#define MIB   (1024ull * 1024)

static struct kh_cgroups groups;
static struct kh_host host;
static struct kh_box boxes[BOXES];
static int order[2 * BOXES], ended, code, state;

static void
woken(void *owner, const struct kh_error *err)
{
    struct kh_box *box = owner;

    order[ended++] = (int)(box - boxes);
    code = err->code;
}

static void
begin(void)
{
    int i;

    memset(&host, 0, sizeof(host));
    host.wake_timer = -1;
    host.store.state = state;
    host.admission = (struct kh_admission){.reserve = UINT64_MAX / 4, .max = 100};
    host.groups = &groups;
    snprintf(host.criu.program, sizeof(host.criu.program), "criu");
    for (i = 0; i < BOXES; i++) {
        boxes[i] = (struct kh_box){.host = &host, .phase = KH_BOX_HIBERNATED};
        snprintf(boxes[i].record.name, sizeof(boxes[i].record.name), "box-%d", i);
    }
    ended = code = 0;
}

static int
wake(int i, struct kh_error *err)
{
    return kh_wake_begin(&boxes[i], woken, &boxes[i], err);
}

static void
refuses(void)
{
    struct kh_error err = {0};

    begin();
    boxes[0].phase = KH_BOX_RUNNING;
    is_int(wake(0, &err), -EALREADY, "one that runs is not woken");
    boxes[0].phase = KH_BOX_WAKING;
    is_int(wake(0, &err), -EALREADY, "nor one that wakes");
    host.criu.program[0] = '\0';
    is_int(wake(1, &err), -ENOTSUP, "nor any without criu");
    ok(strstr(err.text, "kernelhost doctor"), "in words: %s", err.text);
    ok(!host.wakes && !host.waking && boxes[1].phase == KH_BOX_HIBERNATED,
       "and nothing is begun");
}

static void
waits(void)
{
    int i;

    begin();
    for (i = 0; i < BOXES; i++)
        is_int(wake(i, NULL), 0, "%s waits for memory", boxes[i].record.name);
    ok(ended == 0 && host.wake_timer >= 0 && host.waking == 0, "and looks again later");
    ok(boxes[2].phase == KH_BOX_WAKING, "on its way");
    boxes[0].wake->since -= KH_WAKE_WAIT_MS + 1;
    boxes[1].wake->since -= KH_WAKE_WAIT_MS + 1;
    kh_wake_pump(&host);
    ok(ended == 2 && order[0] == 0 && order[1] == 1 && code == ENOMEM,
       "who waited too long is told, in order");
    ok(boxes[0].phase == KH_BOX_HIBERNATED && !boxes[0].wake &&
           boxes[2].phase == KH_BOX_WAKING,
       "and sleeps on, the other waits");
    is_int((int)host.waking, 0, "none is under way");
    kh_wake_end_all(&host);
    ok(ended == 3 && order[2] == 2 && code == ECANCELED && !host.wakes &&
           boxes[2].phase == KH_BOX_HIBERNATED,
       "the end of the host tells the rest");
}

static void
takes_turns(void)
{
    unsigned many = 1000;
    int i;

    begin();
    host.admission.max = 0; /* nothing is so small that it would fit */
    host.waking = many;
    for (i = 0; i < BOXES; i++)
        (void)wake(i, NULL);
    ok(ended == 0 && host.wake_timer < 0, "while others wake nobody is looked at");
    host.waking = 0;
    kh_wake_pump(&host);
    ok(ended == BOXES && order[0] == 0 && order[2] == 2 && code == EUSERS,
       "then each in its turn, and what waiting does not cure is told at once");
    is_int((int)host.waking, 0, "none is under way");
}

/* Who cannot come back is not put to sleep. */
static void
weighs(void)
{
    struct kh_weight weight = {.memory = 160 * MIB};
    struct kh_error err = {0};

    is_int((long)(kh_weight_limit(weight.memory) / MIB), 182, "what it needs to wake");
    is_int(kh_weight_fits(&weight, 182 * MIB, "do", &err), 0, "so much is enough");
    is_int(kh_weight_fits(&weight, 181 * MIB, "do", &err), -EBUSY, "less is not");
    ok(strstr(err.text, "182 MiB") && strstr(err.text, "(hint: do --memory 182M)"),
       "which is said, with the cure: %s", err.text);
    weight.ghosts = 257 * MIB;
    is_int(kh_weight_fits(&weight, 512 * MIB, "do", &err), -EBUSY,
           "removed files that are open are bounded");
    is_int(kh_weight_room(state, 4096, &err), 0, "there is room for a page");
    is_int(kh_weight_room(state, UINT64_MAX / 2, &err), -ENOSPC, "not for everything");
}

int
main(void)
{
    struct kh_error err = {0};
    int i;

    for (i = 0; i < KH_CGROUP_ROLES; i++)
        groups.parent[i] = -1;
    state = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state < 0 || kh_watch_open(&err) < 0)
        abort();
    refuses();
    waits();
    takes_turns();
    weighs();
    return done();
}
