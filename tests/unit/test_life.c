#include "kernelhost/gateway/life.h"

#include <stdbool.h>

#include "tests/tap.h"

#define STEP(state, event) kh_life_step(KH_LIFE_##state, KH_LIFE_EV_##event)

static bool
goes(struct kh_life_step step, enum kh_life next, enum kh_life_action action)
{
    return step.next == next && step.action == action;
}

static void
every_pair(void)
{
    int state, event, bad = 0, dead_ends = 0, speaks = 0;

    for (state = 0; state < KH_LIFES; state++) {
        bool leaves = false;

        for (event = 0; event < KH_LIFE_EVENTS; event++) {
            struct kh_life_step step =
                kh_life_step((enum kh_life)state, (enum kh_life_event)event);

            bad += step.next >= KH_LIFES || step.action > KH_LIFE_FREE;
            leaves |= (int)step.next != state || step.action == KH_LIFE_FREE;
            if (event == KH_LIFE_EV_WANTED)
                speaks += step.action == KH_LIFE_NOTHING;
        }
        dead_ends += !leaves;
    }
    is_int(bad, 0, "every pair has a step within the table");
    is_int(dead_ends, 0, "every state can be left");
    is_int(speaks, 0, "no request is ignored in any state");
}

/* A lost sandbox answers every request, wherever it comes between. */
static void
losses(void)
{
    int state, wrong = 0;

    for (state = 0; state < KH_LIFES; state++) {
        struct kh_life_step step = kh_life_step((enum kh_life)state, KH_LIFE_EV_DOWN);
        bool has_requests = state != KH_LIFE_STOPPED && state != KH_LIFE_DEAD;

        if (has_requests)
            wrong += step.action != KH_LIFE_LOSE && step.action != KH_LIFE_FREE;
        wrong += step.next != KH_LIFE_STOPPED && step.next != KH_LIFE_ENDING;
    }
    is_int(wrong, 0, "when the sandbox goes, what waits is answered");
}

int
main(void)
{
    int state;

    every_pair();
    losses();
    ok(goes(STEP(STOPPED, WANTED), KH_LIFE_WAKING, KH_LIFE_HOLD_UP),
       "a request wakes a stopped kernel");
    ok(goes(STEP(WAKING, UP), KH_LIFE_STARTING, KH_LIFE_SPAWN),
       "a sandbox that came up gets the kernel");
    ok(goes(STEP(STARTING, READY), KH_LIFE_READY, KH_LIFE_GREET), "which gets ready");
    ok(goes(STEP(READY, WANTED), KH_LIFE_READY, KH_LIFE_SEND), "and takes requests");
    ok(goes(STEP(READY, DIED), KH_LIFE_DYING, KH_LIFE_INQUIRE),
       "a death is looked into");
    ok(goes(STEP(DYING, WANTED), KH_LIFE_DYING, KH_LIFE_HOLD),
       "while what comes waits");
    ok(goes(STEP(DYING, EXPLAINED), KH_LIFE_DEAD, KH_LIFE_JUDGE), "and judged");
    ok(goes(STEP(DEAD, WANTED), KH_LIFE_DEAD, KH_LIFE_REFUSE),
       "a dead kernel refuses requests");
    ok(goes(STEP(DEAD, RESTART), KH_LIFE_RESTARTING, KH_LIFE_RESPAWN),
       "until it is restarted");
    ok(goes(STEP(RESTARTING, DIED), KH_LIFE_RESTARTING, KH_LIFE_NOTHING),
       "the end of the old interpreter is no death");
    ok(goes(STEP(RESTARTING, STARTED), KH_LIFE_STARTING, KH_LIFE_ANNOUNCE),
       "the new one is announced");
    ok(goes(STEP(READY, STOP), KH_LIFE_ENDING, KH_LIFE_HALT) &&
           goes(STEP(ENDING, DIED), KH_LIFE_ENDING, KH_LIFE_FREE),
       "a kernel that was taken away ends");
    for (state = 0; state < KH_LIFES; state++)
        ok(kh_life_name((enum kh_life)state)[0], "state %d has a word", state);
    return done();
}
