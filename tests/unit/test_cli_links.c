#include "kernelhost/cli/links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/mem.h"
#include "protocol/jupyter/jsontree.h"
#include "tests/tap.h"

static bool
leads_to(const char *path, const char *want)
{
    char target[4096];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n < 0)
        return false;
    target[n] = '\0';
    return !strcmp(target, want);
}

int
main(void)
{
    char base[] = "/tmp/kernelhost-links-XXXXXX";
    AUTO_FREE char *run = NULL, *deep = NULL, *to = NULL, *prefix = NULL, *first = NULL;
    AUTO_FREE char *target = NULL, *outside = NULL, *climb = NULL, *last = NULL;
    AUTO_JSON json_t *connection = NULL;
    struct kh_links links = {0}, again = {0};
    struct kh_error err;
    int fd;

    if (!mkdtemp(base))
        return 99;
    run = kh_xasprintf("%s/run", base);
    deep = kh_xasprintf("%s/run/gateway", base);
    to = kh_xasprintf("%s/k", deep);
    outside = kh_xasprintf("%s/k", base);
    climb = kh_xasprintf("%s/../../k", deep);
    prefix = kh_xasprintf("%s/kernel-ipc", base);
    first = kh_xasprintf("%s-1", prefix);
    last = kh_xasprintf("%s-5", prefix);
    target = kh_xasprintf("%s-1", to);
    mkdir(run, 0700);
    mkdir(deep, 0700);
    connection =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "ip", prefix, "shell_port", 1,
                  "iopub_port", 2, "stdin_port", 3, "control_port", 4, "hb_port", 5);

    is_int(kh_links_make(&links, connection, to, base, &err), 0, "links are made");
    ok(leads_to(first, target), "one for each port");
    is_int(kh_links_make(&again, connection, to, base, &err), 0,
           "what an earlier launcher left is replaced");
    kh_links_remove(&again);
    ok(access(first, F_OK) < 0 && errno == ENOENT && !leads_to(first, target),
       "they are removed");
    kh_links_remove(&links);

    is_int(kh_links_make(&links, connection, outside, base, &err), -EBADMSG,
           "no link to what is not the host's");
    is_int(kh_links_make(&links, connection, climb, base, &err), -EBADMSG,
           "by no detour either");
    is_int(kh_links_make(&links, connection, "k", base, &err), -EBADMSG,
           "nor to a relative path");
    is_int(links.count, 0, "none was made");

    fd = open(last, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    is_int(kh_links_make(&links, connection, to, base, &err), -EEXIST,
           "a file that stands there is no link of ours");
    kh_links_remove(&links);
    ok(access(last, F_OK) == 0, "and stays");
    ok(!leads_to(first, target), "the links made before it are removed");

    close(fd);
    unlink(last);
    rmdir(deep);
    rmdir(run);
    ok(rmdir(base) == 0, "nothing is left");
    return done();
}
