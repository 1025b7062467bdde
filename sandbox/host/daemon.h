/* daemon: what kernelhostd does from its start to its end: it opens the host, keeps
 * a gateway running, serves it, and reacts to signals. */
#ifndef KH_HOST_DAEMON_H
#define KH_HOST_DAEMON_H

#include <stdint.h>

#include "sandbox/host/admission.h"

/* Serves the state directory STATE until a signal ends it, with the kit and the
 * gateway's binary at those paths, and no more sandboxes than ADMISSION lets in.
 * Returns the exit status. */
int kh_daemon_serve(const char *state, const char *kit, const char *gateway,
                    uint32_t id_base, const struct kh_admission *admission);

#endif
