#include "kernelhost/cli/links.h"

#include <errno.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/cli/http.h"

static const char *const ports[KH_LINKS] = {"shell_port", "iopub_port", "stdin_port",
                                            "control_port", "hb_port"};

/* The path comes from the gateway, which speaks with hostile peers: only the
 * host's own sockets may be linked to. */
static bool
is_ours(const char *to, const char *state)
{
    AUTO_FREE char *copy = kh_xstrdup(to);
    AUTO_FREE char *dir = *to == '/' ? realpath(dirname(copy), NULL) : NULL;
    AUTO_FREE char *real = realpath(state, NULL);
    AUTO_FREE char *run = kh_xasprintf("%s/run/", real ? real : state);

    return dir && !strncmp(dir, run, strlen(run));
}

static int
make(struct kh_links *links, const char *target, char *path, struct kh_error *err)
{
    struct stat st;

    links->path[links->count++] = path;
    if (symlink(target, path) == 0)
        return 0;
    /* A launcher that was killed leaves its links behind. */
    if (errno == EEXIST && lstat(path, &st) == 0 && S_ISLNK(st.st_mode) &&
        unlink(path) == 0 && symlink(target, path) == 0)
        return 0;
    links->path[--links->count] = NULL;
    kh_fail_errno(err, "cannot make the link '%s'", path);
    free(path);
    return -err->code;
}

int
kh_links_make(struct kh_links *links, const json_t *connection, const char *to,
              const char *state, struct kh_error *err)
{
    const char *ip = kh_http_text(connection, "ip");
    size_t i;
    int r = 0;

    if (!is_ours(to, state))
        return kh_fail(err, EBADMSG, "the host's sockets are in a wrong place: '%s'",
                       to);
    for (i = 0; i < KH_LINKS && r == 0; i++) {
        long long port = json_integer_value(json_object_get(connection, ports[i]));
        AUTO_FREE char *target = kh_xasprintf("%s-%lld", to, port);

        r = make(links, target, kh_xasprintf("%s-%lld", ip, port), err);
    }
    return r;
}

void
kh_links_remove(struct kh_links *links)
{
    struct stat st;

    while (links->count) {
        char *path = links->path[--links->count];

        if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
            unlink(path);
        free(path);
    }
}
