/* links: the five sockets of an ipc connection file, where its reader looks.
 *
 * A KernelManager with transport ipc chooses paths in a place of the user's. The
 * host's gateway has no business there: it binds sockets of its own, and the
 * launcher, which is the user's process, makes a symbolic link to each.
 */
#ifndef KH_CLI_LINKS_H
#define KH_CLI_LINKS_H

#include <jansson.h>

#include "base/error.h"

#define KH_LINKS 5

/* Zero-initialised; owns the paths of the links it made. */
struct kh_links {
    char *path[KH_LINKS];
    unsigned count;
};

/* Makes "IP-PORT" of CONNECTION (a connection file's object) a link to "TO-PORT"
 * for each of its ports. TO must lie below STATE/run. A link that stands there
 * already is replaced, anything else is not. */
int kh_links_make(struct kh_links *links, const json_t *connection, const char *to,
                  const char *state, struct kh_error *err);

/* Removes the links that were made, where they still are links. */
void kh_links_remove(struct kh_links *links);

#endif
