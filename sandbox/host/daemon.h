/* daemon: what kernelhostd does from its start to its end: it opens the host, keeps
 * a gateway running, serves it, and reacts to signals. */
#ifndef KH_HOST_DAEMON_H
#define KH_HOST_DAEMON_H

#include <stdint.h>

#include "sandbox/host/admission.h"

struct kh_daemon_options {
    const char *state;   /* the state directory */
    const char *kit;     /* directory */
    const char *criu;    /* directory, as kh_criu_find */
    const char *gateway; /* binary */
    uint32_t id_base;
    struct kh_admission admission;
    const char *preload; /* what zygotes import (zygote.h) */
    unsigned spares;     /* to keep (spare.h) */
    unsigned snapshots;  /* at most */
    char *const *argv;   /* as main got it */
    const char *resume;  /* descriptors of an earlier program, or NULL: see renew.h */
};

/* Serves until a signal ends it. SIGTERM and SIGINT end the sandboxes, too; SIGUSR2
 * executes kernelhostd anew beneath them. Returns the exit status. */
int kh_daemon_serve(const struct kh_daemon_options *options);

#endif
