/* life: the states of a kernel and what moves it between them.
 *
 * One static table [state][event] -> {next, action}; kernel.c is the only caller
 * and does the actions. Pure, so that a test walks every pair.
 *
 *     STOPPED --wanted--> WAKING --up--> STARTING --ready--> READY
 *        ^                                  | died              | died
 *        '-- down (any state) --            v                   v
 *                                         DYING --explained--> STARTING or DEAD
 */
#ifndef KH_GATEWAY_LIFE_H
#define KH_GATEWAY_LIFE_H

enum kh_life {
    KH_LIFE_STOPPED,    /* its sandbox does not run */
    KH_LIFE_WAKING,     /* the sandbox was asked to come up */
    KH_LIFE_STARTING,   /* init was asked for an interpreter */
    KH_LIFE_RESTARTING, /* init was asked for another one in its place */
    KH_LIFE_READY,
    KH_LIFE_DYING,  /* it ended; the host is asked why */
    KH_LIFE_DEAD,   /* stays so until somebody restarts it */
    KH_LIFE_ENDING, /* it is being taken away */
    KH_LIFES
};

enum kh_life_event {
    KH_LIFE_EV_UP,        /* the sandbox's init is connected */
    KH_LIFE_EV_DOWN,      /* the sandbox stopped or its link is gone */
    KH_LIFE_EV_WANTED,    /* a request came */
    KH_LIFE_EV_STARTED,   /* journal: STATE starting */
    KH_LIFE_EV_READY,     /* journal: STATE ready */
    KH_LIFE_EV_DIED,      /* journal: STATE dead */
    KH_LIFE_EV_EXPLAINED, /* the host said what it knows of a death */
    KH_LIFE_EV_RESTART,   /* somebody asked for a restart */
    KH_LIFE_EV_STOP,      /* somebody took the kernel away */
    KH_LIFE_EVENTS
};

enum kh_life_action {
    KH_LIFE_NOTHING,
    KH_LIFE_SEND,     /* pass the request on to init */
    KH_LIFE_HOLD,     /* keep the request until init can have it */
    KH_LIFE_HOLD_UP,  /* the same, and wake the sandbox */
    KH_LIFE_WAKE,     /* wake the sandbox */
    KH_LIFE_REFUSE,   /* answer the request with an error: the kernel is dead */
    KH_LIFE_SPAWN,    /* KERNEL_START */
    KH_LIFE_RESPAWN,  /* KERNEL_RESTART */
    KH_LIFE_ANNOUNCE, /* a new incarnation: new session, status starting */
    KH_LIFE_GREET,    /* take kernel_info, status idle */
    KH_LIFE_INQUIRE,  /* ask the host about the death */
    KH_LIFE_JUDGE,    /* say why, answer all; restart or stay dead */
    KH_LIFE_LOSE,     /* answer all: the sandbox is gone */
    KH_LIFE_HALT,     /* KERNEL_STOP */
    KH_LIFE_FREE,     /* the end */
};

struct kh_life_step {
    enum kh_life next;
    enum kh_life_action action;
};

/* The step of EVENT in STATE; every pair has one. */
struct kh_life_step kh_life_step(enum kh_life state, enum kh_life_event event);

/* "starting", "idle" (for READY), "dead": the API's word for a state. */
const char *kh_life_name(enum kh_life state);

#endif
