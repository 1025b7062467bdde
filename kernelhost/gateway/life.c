#include "kernelhost/gateway/life.h"

#include <stdlib.h>

#define ST(name) KH_LIFE_##name
#define EV(name) [KH_LIFE_EV_##name]

/* Read: in STATE, on EVENT, do ACTION and be NEXT. DYING, the only state that
 * needs an answer of the host, holds what comes meanwhile. A death while a
 * restart is under way is the restart's own doing. STARTED, READY and DIED in
 * STOPPED and WAKING are of a kernel that init had all along: it is adopted. */
static const struct kh_life_step table[KH_LIFES][KH_LIFE_EVENTS] =
    {
        [ST(STOPPED)] =
            {
                EV(UP) = {ST(STOPPED), ST(NOTHING)},
                EV(DOWN) = {ST(STOPPED), ST(NOTHING)},
                EV(WANTED) = {ST(WAKING), ST(HOLD_UP)},
                EV(STARTED) = {ST(STARTING), ST(ANNOUNCE)},
                EV(READY) = {ST(READY), ST(GREET)},
                EV(DIED) = {ST(DEAD), ST(NOTHING)},
                EV(EXPLAINED) = {ST(STOPPED), ST(NOTHING)},
                EV(RESTART) = {ST(WAKING), ST(WAKE)},
                EV(STOP) = {ST(ENDING), ST(FREE)},
            },
        [ST(WAKING)] =
            {
                EV(UP) = {ST(STARTING), ST(SPAWN)},
                EV(DOWN) = {ST(STOPPED), ST(LOSE)},
                EV(WANTED) = {ST(WAKING), ST(HOLD)},
                EV(STARTED) = {ST(STARTING), ST(ANNOUNCE)},
                EV(READY) = {ST(READY), ST(GREET)},
                EV(DIED) = {ST(DEAD), ST(NOTHING)},
                EV(EXPLAINED) = {ST(WAKING), ST(NOTHING)},
                EV(RESTART) = {ST(WAKING), ST(NOTHING)},
                EV(STOP) = {ST(ENDING), ST(FREE)},
            },
        [ST(STARTING)] =
            {
                EV(UP) = {ST(STARTING), ST(NOTHING)},
                EV(DOWN) = {ST(STOPPED), ST(LOSE)},
                EV(WANTED) = {ST(STARTING), ST(SEND)},
                EV(STARTED) = {ST(STARTING), ST(ANNOUNCE)},
                EV(READY) = {ST(READY), ST(GREET)},
                EV(DIED) = {ST(DYING), ST(INQUIRE)},
                EV(EXPLAINED) = {ST(STARTING), ST(NOTHING)},
                EV(RESTART) = {ST(RESTARTING), ST(RESPAWN)},
                EV(STOP) = {ST(ENDING), ST(HALT)},
            },
        [ST(RESTARTING)] =
            {
                EV(UP) = {ST(RESTARTING), ST(NOTHING)},
                EV(DOWN) = {ST(STOPPED), ST(LOSE)},
                EV(WANTED) = {ST(RESTARTING), ST(SEND)},
                EV(STARTED) = {ST(STARTING), ST(ANNOUNCE)},
                EV(READY) = {ST(RESTARTING), ST(NOTHING)},
                EV(DIED) = {ST(RESTARTING), ST(NOTHING)},
                EV(EXPLAINED) = {ST(RESTARTING), ST(NOTHING)},
                EV(RESTART) = {ST(RESTARTING), ST(NOTHING)},
                EV(STOP) = {ST(ENDING), ST(HALT)},
            },
        [ST(READY)] =
            {
                EV(UP) = {ST(READY), ST(NOTHING)},
                EV(DOWN) = {ST(STOPPED), ST(LOSE)},
                EV(WANTED) = {ST(READY), ST(SEND)},
                EV(STARTED) = {ST(STARTING), ST(ANNOUNCE)},
                EV(READY) = {ST(READY), ST(GREET)},
                EV(DIED) = {ST(DYING), ST(INQUIRE)},
                EV(EXPLAINED) = {ST(READY), ST(NOTHING)},
                EV(RESTART) = {ST(RESTARTING), ST(RESPAWN)},
                EV(STOP) = {ST(ENDING), ST(HALT)},
            },
        [ST(DYING)] =
            {
                EV(UP) = {ST(DYING), ST(NOTHING)},
                EV(DOWN) = {ST(STOPPED), ST(LOSE)},
                EV(WANTED) = {ST(DYING), ST(HOLD)},
                EV(STARTED) = {ST(STARTING), ST(ANNOUNCE)},
                EV(READY) = {ST(READY), ST(GREET)},
                EV(DIED) = {ST(DYING), ST(NOTHING)},
                EV(EXPLAINED) = {ST(DEAD), ST(JUDGE)},
                EV(RESTART) = {ST(DYING), ST(NOTHING)},
                EV(STOP) = {ST(ENDING), ST(HALT)},
            },
        [ST(DEAD)] =
            {
                EV(UP) = {ST(DEAD), ST(NOTHING)},
                EV(DOWN) = {ST(STOPPED), ST(NOTHING)},
                EV(WANTED) = {ST(DEAD), ST(REFUSE)},
                EV(STARTED) = {ST(STARTING), ST(ANNOUNCE)},
                EV(READY) = {ST(READY), ST(GREET)},
                EV(DIED) = {ST(DEAD), ST(NOTHING)},
                EV(EXPLAINED) = {ST(DEAD), ST(NOTHING)},
                EV(RESTART) = {ST(RESTARTING), ST(RESPAWN)},
                EV(STOP) = {ST(ENDING), ST(HALT)},
            },
        [ST(ENDING)] =
            {
                EV(UP) = {ST(ENDING), ST(NOTHING)},
                EV(DOWN) = {ST(ENDING), ST(FREE)},
                EV(WANTED) = {ST(ENDING), ST(REFUSE)},
                EV(STARTED) = {ST(ENDING), ST(NOTHING)},
                EV(READY) = {ST(ENDING), ST(NOTHING)},
                EV(DIED) = {ST(ENDING), ST(FREE)},
                EV(EXPLAINED) = {ST(ENDING), ST(NOTHING)},
                EV(RESTART) = {ST(ENDING), ST(NOTHING)},
                EV(STOP) = {ST(ENDING), ST(NOTHING)},
            },
};

struct kh_life_step
kh_life_step(enum kh_life state, enum kh_life_event event)
{
    if (state >= KH_LIFES || event >= KH_LIFE_EVENTS)
        abort();
    return table[state][event];
}

const char *
kh_life_name(enum kh_life state)
{
    static const char *const names[KH_LIFES] = {
        [KH_LIFE_STOPPED] = "dead",      [KH_LIFE_WAKING] = "starting",
        [KH_LIFE_STARTING] = "starting", [KH_LIFE_RESTARTING] = "starting",
        [KH_LIFE_READY] = "idle",        [KH_LIFE_DYING] = "starting",
        [KH_LIFE_DEAD] = "dead",         [KH_LIFE_ENDING] = "dead",
    };

    return names[state];
}
