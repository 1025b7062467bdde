#include "sandbox/init/queue.h"

#define GO(next, action)                                                               \
    {                                                                                  \
        KH_QUEUE_##next, KH_QUEUE_DO_##action                                          \
    }

/* Every pair is written out: a pair that is forgotten must not mean something
 * by accident. */
const struct kh_queue_step kh_queue_table[KH_QUEUE_STATES][KH_QUEUE_EVENTS] =
    {
        [KH_QUEUE_NONE] =
            {
                [KH_QUEUE_START] = GO(STARTING, SPAWN),
                [KH_QUEUE_RESTART] = GO(NONE, REFUSE),
                [KH_QUEUE_STOP] = GO(NONE, REFUSE),
                [KH_QUEUE_SHELL] = GO(NONE, REFUSE),
                [KH_QUEUE_CONTROL] = GO(NONE, REFUSE),
                [KH_QUEUE_INTERRUPT] = GO(NONE, REFUSE),
                [KH_QUEUE_READY] = GO(NONE, NOTHING),
                [KH_QUEUE_ERROR] = GO(NONE, NOTHING),
                [KH_QUEUE_DONE] = GO(NONE, NOTHING),
                [KH_QUEUE_BROKEN] = GO(NONE, NOTHING),
                [KH_QUEUE_CLOSED] = GO(NONE, NOTHING),
                [KH_QUEUE_NEXT] = GO(NONE, NOTHING),
                [KH_QUEUE_GRACE] = GO(NONE, NOTHING),
                [KH_QUEUE_ENDED] = GO(NONE, NOTHING),
                [KH_QUEUE_DRAINED] = GO(NONE, NOTHING),
            },
        [KH_QUEUE_STARTING] =
            {
                [KH_QUEUE_START] = GO(STARTING, REFUSE),
                [KH_QUEUE_RESTART] = GO(RESTARTING, RENEW),
                [KH_QUEUE_STOP] = GO(STOPPING, SHUTDOWN),
                [KH_QUEUE_SHELL] = GO(STARTING, ENQUEUE),
                [KH_QUEUE_CONTROL] = GO(STARTING, ENQUEUE),
                [KH_QUEUE_INTERRUPT] = GO(STARTING, NOTHING),
                [KH_QUEUE_READY] = GO(IDLE, ANNOUNCE),
                [KH_QUEUE_ERROR] = GO(STARTING, NOTHING),
                [KH_QUEUE_DONE] = GO(STARTING, NOTHING),
                [KH_QUEUE_BROKEN] = GO(DYING, KILL),
                [KH_QUEUE_CLOSED] = GO(DYING, GRACE),
                [KH_QUEUE_NEXT] = GO(STARTING, NOTHING),
                [KH_QUEUE_GRACE] = GO(STARTING, NOTHING),
                [KH_QUEUE_ENDED] = GO(DYING, DRAIN),
                [KH_QUEUE_DRAINED] = GO(STARTING, NOTHING),
            },
        [KH_QUEUE_IDLE] =
            {
                [KH_QUEUE_START] = GO(IDLE, REFUSE),
                [KH_QUEUE_RESTART] = GO(RESTARTING, RENEW),
                [KH_QUEUE_STOP] = GO(STOPPING, SHUTDOWN),
                [KH_QUEUE_SHELL] = GO(IDLE, ENQUEUE),
                [KH_QUEUE_CONTROL] = GO(IDLE, PASS),
                [KH_QUEUE_INTERRUPT] = GO(IDLE, NOTHING),
                [KH_QUEUE_READY] = GO(IDLE, NOTHING),
                [KH_QUEUE_ERROR] = GO(IDLE, NOTHING),
                [KH_QUEUE_DONE] = GO(IDLE, NOTHING),
                [KH_QUEUE_BROKEN] = GO(DYING, KILL),
                [KH_QUEUE_CLOSED] = GO(DYING, GRACE),
                [KH_QUEUE_NEXT] = GO(BUSY, HAND),
                [KH_QUEUE_GRACE] = GO(IDLE, NOTHING),
                [KH_QUEUE_ENDED] = GO(DYING, DRAIN),
                [KH_QUEUE_DRAINED] = GO(IDLE, NOTHING),
            },
        [KH_QUEUE_BUSY] =
            {
                [KH_QUEUE_START] = GO(BUSY, REFUSE),
                [KH_QUEUE_RESTART] = GO(RESTARTING, RENEW),
                [KH_QUEUE_STOP] = GO(STOPPING, SHUTDOWN),
                [KH_QUEUE_SHELL] = GO(BUSY, ENQUEUE),
                [KH_QUEUE_CONTROL] = GO(BUSY, PASS),
                [KH_QUEUE_INTERRUPT] = GO(BUSY, SIGNAL),
                [KH_QUEUE_READY] = GO(BUSY, NOTHING),
                [KH_QUEUE_ERROR] = GO(BUSY, ABORT),
                [KH_QUEUE_DONE] = GO(IDLE, FINISH),
                [KH_QUEUE_BROKEN] = GO(DYING, KILL),
                [KH_QUEUE_CLOSED] = GO(DYING, GRACE),
                [KH_QUEUE_NEXT] = GO(BUSY, NOTHING),
                [KH_QUEUE_GRACE] = GO(BUSY, NOTHING),
                [KH_QUEUE_ENDED] = GO(DYING, DRAIN),
                [KH_QUEUE_DRAINED] = GO(BUSY, NOTHING),
            },
        [KH_QUEUE_DYING] =
            {
                [KH_QUEUE_START] = GO(DYING, REFUSE),
                [KH_QUEUE_RESTART] = GO(RESTARTING, RENEW),
                [KH_QUEUE_STOP] = GO(STOPPING, SHUTDOWN),
                [KH_QUEUE_SHELL] = GO(DYING, ENQUEUE),
                [KH_QUEUE_CONTROL] = GO(DYING, ENQUEUE),
                [KH_QUEUE_INTERRUPT] = GO(DYING, NOTHING),
                [KH_QUEUE_READY] = GO(DYING, NOTHING),
                [KH_QUEUE_ERROR] = GO(DYING, ABORT),
                [KH_QUEUE_DONE] = GO(DYING, FINISH),
                [KH_QUEUE_BROKEN] = GO(DYING, KILL),
                [KH_QUEUE_CLOSED] = GO(DYING, NOTHING),
                [KH_QUEUE_NEXT] = GO(DYING, NOTHING),
                [KH_QUEUE_GRACE] = GO(DYING, KILL),
                [KH_QUEUE_ENDED] = GO(DYING, DRAIN),
                [KH_QUEUE_DRAINED] = GO(DEAD, BURY),
            },
        [KH_QUEUE_RESTARTING] =
            {
                [KH_QUEUE_START] = GO(RESTARTING, REFUSE),
                [KH_QUEUE_RESTART] = GO(RESTARTING, FORGET),
                [KH_QUEUE_STOP] = GO(STOPPING, NOTHING),
                [KH_QUEUE_SHELL] = GO(RESTARTING, ENQUEUE),
                [KH_QUEUE_CONTROL] = GO(RESTARTING, ENQUEUE),
                [KH_QUEUE_INTERRUPT] = GO(RESTARTING, NOTHING),
                [KH_QUEUE_READY] = GO(RESTARTING, NOTHING),
                [KH_QUEUE_ERROR] = GO(RESTARTING, NOTHING),
                [KH_QUEUE_DONE] = GO(RESTARTING, FINISH),
                [KH_QUEUE_BROKEN] = GO(RESTARTING, KILL),
                [KH_QUEUE_CLOSED] = GO(RESTARTING, NOTHING),
                [KH_QUEUE_NEXT] = GO(RESTARTING, NOTHING),
                [KH_QUEUE_GRACE] = GO(RESTARTING, KILL),
                [KH_QUEUE_ENDED] = GO(RESTARTING, DRAIN),
                [KH_QUEUE_DRAINED] = GO(STARTING, REPLACE),
            },
        [KH_QUEUE_STOPPING] =
            {
                [KH_QUEUE_START] = GO(STOPPING, REFUSE),
                [KH_QUEUE_RESTART] = GO(STOPPING, REFUSE),
                [KH_QUEUE_STOP] = GO(STOPPING, NOTHING),
                [KH_QUEUE_SHELL] = GO(STOPPING, ENQUEUE),
                [KH_QUEUE_CONTROL] = GO(STOPPING, ENQUEUE),
                [KH_QUEUE_INTERRUPT] = GO(STOPPING, NOTHING),
                [KH_QUEUE_READY] = GO(STOPPING, NOTHING),
                [KH_QUEUE_ERROR] = GO(STOPPING, NOTHING),
                [KH_QUEUE_DONE] = GO(STOPPING, FINISH),
                [KH_QUEUE_BROKEN] = GO(STOPPING, KILL),
                [KH_QUEUE_CLOSED] = GO(STOPPING, NOTHING),
                [KH_QUEUE_NEXT] = GO(STOPPING, NOTHING),
                [KH_QUEUE_GRACE] = GO(STOPPING, KILL),
                [KH_QUEUE_ENDED] = GO(STOPPING, DRAIN),
                [KH_QUEUE_DRAINED] = GO(NONE, REMOVE),
            },
        [KH_QUEUE_DEAD] =
            {
                [KH_QUEUE_START] = GO(DEAD, REFUSE),
                [KH_QUEUE_RESTART] = GO(STARTING, SPAWN),
                [KH_QUEUE_STOP] = GO(NONE, REMOVE),
                [KH_QUEUE_SHELL] = GO(DEAD, LOSE),
                [KH_QUEUE_CONTROL] = GO(DEAD, LOSE),
                [KH_QUEUE_INTERRUPT] = GO(DEAD, NOTHING),
                [KH_QUEUE_READY] = GO(DEAD, NOTHING),
                [KH_QUEUE_ERROR] = GO(DEAD, NOTHING),
                [KH_QUEUE_DONE] = GO(DEAD, NOTHING),
                [KH_QUEUE_BROKEN] = GO(DEAD, NOTHING),
                [KH_QUEUE_CLOSED] = GO(DEAD, NOTHING),
                [KH_QUEUE_NEXT] = GO(DEAD, NOTHING),
                [KH_QUEUE_GRACE] = GO(DEAD, NOTHING),
                [KH_QUEUE_ENDED] = GO(DEAD, NOTHING),
                [KH_QUEUE_DRAINED] = GO(DEAD, NOTHING),
            },
};

const char *const kh_queue_state_names[KH_QUEUE_STATES] = {
    [KH_QUEUE_NONE] = "none",         [KH_QUEUE_STARTING] = "starting",
    [KH_QUEUE_IDLE] = "idle",         [KH_QUEUE_BUSY] = "busy",
    [KH_QUEUE_DYING] = "dying",       [KH_QUEUE_RESTARTING] = "restarting",
    [KH_QUEUE_STOPPING] = "stopping", [KH_QUEUE_DEAD] = "dead",
};

const char *const kh_queue_event_names[KH_QUEUE_EVENTS] = {
    [KH_QUEUE_START] = "start",     [KH_QUEUE_RESTART] = "restart",
    [KH_QUEUE_STOP] = "stop",       [KH_QUEUE_SHELL] = "shell",
    [KH_QUEUE_CONTROL] = "control", [KH_QUEUE_INTERRUPT] = "interrupt",
    [KH_QUEUE_READY] = "ready",     [KH_QUEUE_ERROR] = "error",
    [KH_QUEUE_DONE] = "done",       [KH_QUEUE_BROKEN] = "broken",
    [KH_QUEUE_CLOSED] = "closed",   [KH_QUEUE_NEXT] = "next",
    [KH_QUEUE_GRACE] = "grace",     [KH_QUEUE_ENDED] = "ended",
    [KH_QUEUE_DRAINED] = "drained",
};

const char *const kh_queue_action_names[KH_QUEUE_ACTIONS] = {
    [KH_QUEUE_DO_NOTHING] = "nothing",   [KH_QUEUE_DO_REFUSE] = "refuse",
    [KH_QUEUE_DO_SPAWN] = "spawn",       [KH_QUEUE_DO_ENQUEUE] = "enqueue",
    [KH_QUEUE_DO_LOSE] = "lose",         [KH_QUEUE_DO_PASS] = "pass",
    [KH_QUEUE_DO_HAND] = "hand",         [KH_QUEUE_DO_SIGNAL] = "signal",
    [KH_QUEUE_DO_ANNOUNCE] = "announce", [KH_QUEUE_DO_ABORT] = "abort",
    [KH_QUEUE_DO_FINISH] = "finish",     [KH_QUEUE_DO_RENEW] = "renew",
    [KH_QUEUE_DO_FORGET] = "forget",     [KH_QUEUE_DO_SHUTDOWN] = "shutdown",
    [KH_QUEUE_DO_GRACE] = "grace",       [KH_QUEUE_DO_KILL] = "kill",
    [KH_QUEUE_DO_DRAIN] = "drain",       [KH_QUEUE_DO_BURY] = "bury",
    [KH_QUEUE_DO_REPLACE] = "replace",   [KH_QUEUE_DO_REMOVE] = "remove",
};
